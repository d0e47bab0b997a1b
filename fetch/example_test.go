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
