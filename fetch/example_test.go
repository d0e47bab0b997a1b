package fetch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	"lxc-pull/fetch"
)

func ExampleClient_Get() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/index" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, "debian;bookworm;amd64;default")
	}))
	defer server.Close()

	client, err := fetch.NewClient(fetch.Options{UserAgent: "example/1"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	data, err := client.Get(context.Background(), server.URL+"/index", 1<<20)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(data))

	_, err = client.Get(context.Background(), server.URL+"/missing", 1<<20)
	var failed *fetch.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Kind, failed.Status)
	}
	// Output:
	// debian;bookworm;amd64;default
	// status 404
}

// A stream continues at the second server after the first one fails. Pinned says that
// the caller checks the digest of the file afterwards.
func ExampleClient_Open() {
	broken := httptest.NewServer(http.NotFoundHandler())
	defer broken.Close()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Hello, world.")
	}))
	defer mirror.Close()

	client, err := fetch.NewClient(fetch.Options{Report: fetch.ReportOptions{
		Notify: func(e fetch.Event) { fmt.Println("failed:", e.Err.Kind, e.Err.Status) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	body, err := client.Open(context.Background(), fetch.Request{
		URLs:   []string{broken.URL + "/hello", mirror.URL + "/hello"},
		Pinned: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer body.Close()
	if _, err := io.Copy(os.Stdout, body); err != nil {
		log.Fatal(err)
	}
	// Output:
	// failed: status 404
	// Hello, world.
}

// A registry wants a token, which Authorize gets from the registry's token server.
func ExampleClient_Ask() {
	token := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "abc")
	}))
	defer token.Close()
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://example.org/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Accept"))
		fmt.Fprint(w, "{}")
	}))
	defer registry.Close()

	var client *fetch.Client
	client, err := fetch.NewClient(fetch.Options{
		Authorize: func(ctx context.Context, url, challenge string) (string, error) {
			fmt.Println(challenge)
			answer, err := client.Ask(ctx, fetch.Request{URLs: []string{token.URL}, Max: 64 << 10})
			if err != nil {
				return "", err
			}
			return "Bearer " + string(answer.Data), nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	answer, err := client.Ask(context.Background(), fetch.Request{
		URLs:   []string{registry.URL + "/v2/app/manifests/latest"},
		Accept: "application/vnd.oci.image.index.v1+json",
		Max:    4 << 20,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Header.Get("Content-Type"), string(answer.Data))
	// Output:
	// Bearer realm="https://example.org/token"
	// application/vnd.oci.image.index.v1+json {}
}
