package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// tokens is a token server's part of the tests: it gives out "Bearer SECRET1",
// "Bearer SECRET2" and so on.
type tokens struct {
	mu         sync.Mutex
	given      int
	challenges []string
	urls       []string
	fail       func(n int) (string, error) // what call n returns instead; nil: a token
}

func (k *tokens) authorize(_ context.Context, url, challenge string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.given++
	k.urls, k.challenges = append(k.urls, url), append(k.challenges, challenge)
	if k.fail != nil {
		return k.fail(k.given)
	}
	return fmt.Sprintf("Bearer SECRET%d", k.given), nil
}

// fields records the Authorization fields of the requests to a server.
type fields struct {
	mu   sync.Mutex
	list []string
}

func (f *fields) add(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, r.Header.Get("Authorization"))
	return len(f.list)
}

// statuses returns a handler that answers with one status after the other, and then with
// the last of them. The body of 200 is "x".
func statuses(seen *fields, list ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		code := list[min(seen.add(r), len(list))-1]
		w.Header().Set("Content-Type", "application/octet-stream")
		if code == 401 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://auth.test/token",scope="repository:a:pull"`)
		}
		w.WriteHeader(code)
		if code == 200 {
			io.WriteString(w, "x")
		} else {
			io.WriteString(w, `{"errors":[]}`)
		}
	}
}

// TestAuthorize checks which requests have which Authorization field, and how often
// Authorize is called.
func TestAuthorize(t *testing.T) {
	const basic = "Basic dTpTRUNSRVQ=" // u:SECRET
	broken := errors.New("no such user")
	token := &Error{URL: "https://auth.test/token", Kind: KindTruncated}
	fail := func(field string, err error) func(int) (string, error) {
		return func(int) (string, error) { return field, err }
	}
	credential := []Credential{{Host: "127.0.0.1", User: "u", Password: "SECRET"}}
	for _, test := range []struct {
		name    string
		answers []int
		get     int // number of files to get
		opt     Options
		given   string // Request.Authorization
		user    string // of the URL
		fail    func(int) (string, error)
		want    []string // the Authorization fields
		calls   int
		status  int
		as      error // the error
	}{
		{name: "anonymous", answers: []int{200}, get: 1, want: []string{""}},
		{name: "a token", answers: []int{401, 200}, get: 1, want: []string{"", "Bearer SECRET1"}, calls: 1},
		{name: "a token for later files", answers: []int{401, 200}, get: 3, want: []string{"", "Bearer SECRET1", "Bearer SECRET1", "Bearer SECRET1"}, calls: 1},
		{name: "it expires", answers: []int{401, 200, 401, 200}, get: 2, want: []string{"", "Bearer SECRET1", "Bearer SECRET1", "Bearer SECRET2"}, calls: 2},
		{name: "401 for ever", answers: []int{401}, get: 1, want: []string{"", "Bearer SECRET1"}, calls: 1, status: 401},
		{name: "403 with a token", answers: []int{401, 200, 403}, get: 2, want: []string{"", "Bearer SECRET1", "Bearer SECRET1"}, calls: 1, status: 403},
		{name: "403 with a new token", answers: []int{401, 403}, get: 1, want: []string{"", "Bearer SECRET1"}, calls: 1, status: 403},
		{name: "404 with a new token", answers: []int{401, 404}, get: 1, want: []string{"", "Bearer SECRET1"}, calls: 1, status: 404},
		{name: "503 between", answers: []int{503, 401, 503, 200}, get: 1, want: []string{"", "", "Bearer SECRET1", "Bearer SECRET1"}, calls: 1},
		{name: "an error", answers: []int{401}, get: 1, fail: fail("", broken), want: []string{""}, calls: 1, as: broken},
		{name: "a field and an error", answers: []int{401}, get: 1, fail: fail("Bearer SECRET", broken), want: []string{""}, calls: 1, as: broken},
		{name: "the error of another download", answers: []int{401}, get: 1, fail: fail("", token), want: []string{""}, calls: 1, as: token},
		{name: "nothing", answers: []int{401}, get: 1, fail: fail("", nil), want: []string{""}, calls: 1, status: 401},
		{name: "an error is not kept", answers: []int{401, 401, 200}, get: 1, fail: fail("", broken), want: []string{""}, calls: 1, as: broken},
		{name: "given", answers: []int{200}, get: 1, given: "Bearer SECRETx", want: []string{"Bearer SECRETx"}},
		{name: "given and refused", answers: []int{401}, get: 1, given: "Bearer SECRETx", want: []string{"Bearer SECRETx"}, status: 401},
		{name: "given before all others", answers: []int{200}, get: 1, given: "Bearer SECRETx", user: "v:SECRET", opt: Options{Credentials: credential}, want: []string{"Bearer SECRETx"}},
		{name: "credentials", answers: []int{200}, get: 1, opt: Options{Credentials: credential}, want: []string{basic}},
		{name: "a token before credentials", answers: []int{401, 200}, get: 2, opt: Options{Credentials: credential}, want: []string{basic, "Bearer SECRET1", "Bearer SECRET1"}, calls: 1},
		{name: "a token before the URL's user", answers: []int{401, 200}, get: 2, user: "u:SECRET", want: []string{basic, "Bearer SECRET1", "Bearer SECRET1"}, calls: 1},
		{name: "the URL's user before credentials", answers: []int{200}, get: 1, user: "u:SECRET", opt: Options{Credentials: []Credential{{Host: "127.0.0.1", User: "w"}}}, want: []string{basic}},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen, k := new(fields), &tokens{fail: test.fail}
			u := strings.Replace(handle(t, statuses(seen, test.answers...)), "//", "//"+strings.TrimPrefix(test.user+"@", "@"), 1)
			test.opt.Authorize = k.authorize
			test.opt.Report.Notify = func(e Event) {
				if strings.Contains(fmt.Sprintf("%v %+v", e.Err, e), "SECRET") {
					t.Errorf("an event shows a secret: %+v", e)
				}
			}
			c := newClient(t, test.opt)
			var err error
			for range test.get {
				_, _, err = c.Load(t.Context(), Request{URLs: []string{u + "/v2/a"}, Authorization: test.given})
			}
			var e *Error
			switch {
			case test.as != nil && err != test.as:
				t.Errorf("%v, want %v", err, test.as)
			case test.as == nil && test.status == 0 && err != nil, test.status > 0 && (!errors.As(err, &e) || e.Kind != KindStatus || e.Status != test.status):
				t.Errorf("%v, want status %d", err, test.status)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, err), "SECRET") {
				t.Errorf("an error shows a secret: %+v", err)
			}
			if fmt.Sprintf("%q", seen.list) != fmt.Sprintf("%q", test.want) || k.given != test.calls {
				t.Errorf("fields %q and %d calls, want %q and %d", seen.list, k.given, test.want, test.calls)
			}
			for i, url := range k.urls {
				if strings.Contains(url, "@") || !strings.HasSuffix(url, "/v2/a") || k.challenges[i] != `Bearer realm="https://auth.test/token",scope="repository:a:pull"` {
					t.Errorf("called for %q with %q", url, k.challenges[i])
				}
			}
		})
	}
}

// TestChallenges checks that Authorize gets all fields of the challenge, and that a large
// header is no trouble.
func TestChallenges(t *testing.T) {
	for _, test := range []struct {
		name string
		list []string
		kind Kind // of the error; "": none
	}{
		{"none", nil, ""},
		{"two schemes", []string{`Bearer realm="https://a.test/"`, `Basic realm="x"`}, ""},
		{"basic", []string{"Basic"}, ""},
		{"long", []string{strings.Repeat("x", 60<<10)}, ""},
		{"many", strings.Split(strings.Repeat("Basic ", 1000), " "), ""},
		{"too long", []string{strings.Repeat("x", 65<<10)}, KindProtocol},
		{"too many", strings.Split(strings.Repeat("Basic ", 9000), " "), KindProtocol},
	} {
		u := handle(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			if r.Header.Get("Authorization") == "" {
				w.Header()["WWW-Authenticate"] = test.list
				w.WriteHeader(401)
			}
		})
		k := new(tokens)
		_, err := newClient(t, Options{Authorize: k.authorize, Limits: LimitOptions{Retries: -1}}).Get(t.Context(), u, 10)
		if kindOf(err) != test.kind || test.kind == "" && (k.given != 1 || k.challenges[0] != strings.Join(test.list, ", ")) {
			t.Errorf("%s: %d calls, %v", test.name, k.given, err)
		}
	}
}

// TestFieldWithLineEnd checks that a token server can't add fields to a request.
func TestFieldWithLineEnd(t *testing.T) {
	for _, field := range []string{"Bearer SECRET\r\nHost: evil", "Bearer SECRET\n", "\x00", "Bearer SECRET\x7f"} {
		seen := new(fields)
		k := &tokens{fail: func(int) (string, error) { return field, nil }}
		retries := 0
		c := newClient(t, Options{Authorize: k.authorize, Report: ReportOptions{Notify: func(Event) { retries++ }}})
		u := handle(t, statuses(seen, 401, 200))
		if _, err := c.Get(t.Context(), u, 10); err == nil || strings.Contains(err.Error(), "SECRET") || len(seen.list) != 1 || k.given != 1 || retries > 0 {
			t.Errorf("%q: %v after %d requests and %d retries", field, err, len(seen.list), retries)
		}
		if _, _, err := c.Load(t.Context(), Request{URLs: []string{u}, Authorization: field}); err == nil || strings.Contains(err.Error(), "SECRET") || len(seen.list) != 1 {
			t.Errorf("%q, given: %v after %d requests", field, err, len(seen.list))
		}
	}
}

// TestAuthorizeOtherURLs checks that an error of Authorize does not end a download that
// has other URLs.
func TestAuthorizeOtherURLs(t *testing.T) {
	closed, open := new(fields), new(fields)
	broken := errors.New("no such user")
	k := &tokens{fail: func(int) (string, error) { return "", broken }}
	urls := []string{handle(t, statuses(closed, 401)), handle(t, statuses(open, 200))}
	data, sources, err := newClient(t, Options{Authorize: k.authorize}).Load(t.Context(), Request{URLs: urls, Pinned: true})
	if string(data) != "x" || err != nil || fmt.Sprint(sources) != fmt.Sprint(urls[1:]) || k.given != 1 {
		t.Errorf("%q of %q after %d calls, %v", data, sources, k.given, err)
	}
	urls[1] = handle(t, http.NotFound)
	_, err = newClient(t, Options{Authorize: k.authorize}).Open(t.Context(), Request{URLs: urls, Pinned: true})
	if list := Failures(err); !errors.Is(err, broken) || len(list) != 1 || list[0].Status != 404 || !strings.HasPrefix(err.Error(), "no such user\n") {
		t.Errorf("%v", err)
	}
}

// TestAuthorizeOnce checks that requests which are answered 401 at the same moment share
// one call of Authorize, also if one of them is cancelled during the call.
func TestAuthorizeOnce(t *testing.T) {
	const n = 8
	for _, test := range []struct {
		name   string
		cancel bool
		err    error
		calls  int64
	}{{"a token", false, nil, 1}, {"an error", false, errors.New("no such user"), 1}, {"the first is cancelled", true, nil, 2}} {
		t.Run(test.name, func(t *testing.T) {
			serve := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/octet-stream")
				if r.Header.Get("Authorization") == "" {
					w.WriteHeader(401)
					fmt.Fprint(w, r.URL.Path)
				}
			}
			var calls atomic.Int64
			var stop context.CancelFunc
			authorize := func(ctx context.Context, _, _ string) (string, error) {
				call := calls.Add(1)
				time.Sleep(5 * time.Second) // until all requests wait for this call
				if test.cancel && call == 1 {
					stop()
				}
				return "Bearer SECRET", errors.Join(test.err, ctx.Err())
			}
			inTime(t, serve, Options{Authorize: authorize}, func(t *testing.T, c *Client) {
				var ctx context.Context
				ctx, stop = context.WithCancel(t.Context())
				var wg sync.WaitGroup
				var failed atomic.Int64
				for i := range n {
					if i == 1 {
						time.Sleep(time.Second) // the first request makes the call
						ctx = t.Context()
					}
					mine := ctx
					wg.Go(func() {
						if _, err := c.Get(mine, fmt.Sprintf("http://images.test/%d", i), 10); err != nil {
							failed.Add(1)
							if test.err != nil && !errors.Is(err, test.err) || i > 0 && test.err == nil {
								t.Errorf("%d: %v", i, err)
							}
						}
					})
				}
				wg.Wait()
				want := int64(0)
				if test.cancel {
					want = 1
				} else if test.err != nil {
					want = n
				}
				if calls.Load() != test.calls || failed.Load() != want {
					t.Errorf("%d calls, %d errors; want %d, %d", calls.Load(), failed.Load(), test.calls, want)
				}
				stop()
			})
		})
	}
}

// TestAuthorizeInVain has a registry that always answers 401, to several requests at the
// same moment. Each ends after at most three answers: to no token, to the token of another
// request, and to its own.
func TestAuthorizeInVain(t *testing.T) {
	const n = 8
	k, seen := new(tokens), new(fields)
	authorize := func(ctx context.Context, url, challenge string) (string, error) {
		time.Sleep(time.Second) // until all requests wait
		return k.authorize(ctx, url, challenge)
	}
	inTime(t, statuses(seen, 401), Options{Authorize: authorize}, func(t *testing.T, c *Client) {
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				var e *Error
				if _, err := c.Get(t.Context(), "http://images.test/x", 10); !errors.As(err, &e) || e.Status != 401 {
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if k.given > n || len(seen.list) > 3*n {
			t.Errorf("%d calls and %d requests for %d files", k.given, len(seen.list), n)
		}
	})
}

// TestAuthorizeFailsLater has an Authorize that fails in the middle of a layer. The stream
// ends with its error, after the bytes that came.
func TestAuthorizeFailsLater(t *testing.T) {
	data := file(300_000)
	broken := errors.New("the account is closed")
	for _, pinned := range []bool{false, true} {
		unauthorized := status(401)
		s := newServer(t, data, unauthorized, cut(100_000), unauthorized)
		k := &tokens{fail: func(n int) (string, error) {
			if n == 1 {
				return "Bearer SECRET", nil
			}
			return "", broken
		}}
		body, err := newClient(t, Options{Authorize: k.authorize}).Open(t.Context(), Request{URLs: []string{s.URL}, Pinned: pinned})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		body.Close()
		if err != broken || !bytes.Equal(got, data[:100_000]) || k.given != 2 || len(s.requests) != 3 {
			t.Errorf("pinned %v: %d bytes, %d calls, %d requests, %v", pinned, len(got), k.given, len(s.requests), err)
		}
	}
}

// TestAuthorizeRepositories downloads files of several repositories at once. A token is
// good for one of them only, and each request calls Authorize at most once.
func TestAuthorizeRepositories(t *testing.T) {
	u := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		if r.Header.Get("Authorization") != "Bearer "+r.URL.Path {
			w.Header().Set("WWW-Authenticate", r.URL.Path)
			w.WriteHeader(401)
			return
		}
		io.WriteString(w, "x")
	})
	var calls atomic.Int64
	c := newClient(t, Options{Authorize: func(_ context.Context, _, challenge string) (string, error) {
		calls.Add(1)
		return "Bearer " + challenge, nil
	}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				if data, err := c.Get(t.Context(), fmt.Sprintf("%s/%d", u, i), 10); string(data) != "x" || err != nil {
					t.Errorf("%d: %q, %v", i, data, err)
				}
			}
		})
	}
	wg.Wait()
	if calls.Load() > 8*20 {
		t.Errorf("%d calls for %d requests", calls.Load(), 8*20)
	}
}

// TestAuthorizeByClient has an Authorize that asks a token server with the same Client, at
// the registry's origin or elsewhere. No request waits for itself, and the token server
// gets no token.
func TestAuthorizeByClient(t *testing.T) {
	for _, test := range []struct {
		name   string
		same   bool // the token server is at the registry's origin
		status int  // of the token server
	}{{"elsewhere", false, 200}, {"the same origin", true, 200}, {"elsewhere, 401", false, 401}, {"the same origin, 401", true, 401}, {"503", true, 503}} {
		t.Run(test.name, func(t *testing.T) {
			asked, expired := new(fields), false
			token := func(w http.ResponseWriter, r *http.Request) {
				asked.add(r)
				w.WriteHeader(test.status)
				io.WriteString(w, "SECRET")
			}
			registry := handle(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				switch {
				case r.URL.Path == "/token":
					token(w, r)
				case r.Header.Get("Authorization") != "Bearer SECRET" || expired:
					expired = false
					w.Header().Set("WWW-Authenticate", "Bearer")
					w.WriteHeader(401)
				}
			})
			realm := registry + "/token"
			if !test.same {
				realm = handle(t, token)
			}
			var c *Client
			c = newClient(t, Options{Limits: LimitOptions{Retries: 1}, Authorize: func(ctx context.Context, _, _ string) (string, error) {
				answer, err := c.Ask(ctx, Request{URLs: []string{realm}, Max: 100, Accept: "application/json"})
				if err != nil {
					return "", err
				}
				return "Bearer " + string(answer.Data), nil
			}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for range 2 {
				_, err := c.Get(ctx, registry+"/v2/x", 10)
				var e *Error
				if test.status == 200 && err != nil || test.status != 200 && (!errors.As(err, &e) || e.Status != test.status || e.URL != realm || string(e.Page) != "SECRET") {
					t.Errorf("%v", err)
				}
				expired = true
			}
			want := map[int]int{200: 2, 401: 2, 503: 4}[test.status]
			if len(asked.list) != want || strings.Join(asked.list, "") != "" {
				t.Errorf("the token server was asked with %q, want %d requests without a token", asked.list, want)
			}
		})
	}
}

// TestSecretsStayHome checks that no Authorization field reaches another origin than that
// of the Request's URL, whatever the redirects, and that Authorize is not called for another.
func TestSecretsStayHome(t *testing.T) {
	away, home := new(fields), new(fields)
	plain := handle(t, func(w http.ResponseWriter, r *http.Request) {
		away.add(r)
		switch r.URL.Path {
		case "/401":
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
		case "/back":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, "x")
		}
	})
	var base string
	registry := func(w http.ResponseWriter, r *http.Request) {
		home.add(r)
		if r.URL.Path == "/there" || r.Header.Get("Authorization") != "Bearer SECRET1" && r.URL.Query().Get("given") == "" {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(401)
			return
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(map[string]int{"/301": 301, "/302": 302, "/303": 303, "/307": 307, "/308": 308}[r.URL.Path])
		io.WriteString(w, "<a>")
	}
	secureBase, ca, _ := secure(t, registry)
	plainBase := handle(t, registry)
	for _, test := range []struct {
		name, base, to string
		kind           Kind
		calls          int
	}{
		{"a CDN", plainBase, plain + "/cdn?signed=SECRET", "", 1},
		{"another name", plainBase, strings.Replace(plain, "127.0.0.1", "localhost", 1) + "/cdn", "", 1},
		{"with a user", plainBase, strings.Replace(plain, "//", "//u:SECRET@", 1) + "/cdn", "", 1},
		{"a CDN that answers 401", plainBase, plain + "/401", KindStatus, 1},
		{"there and back", plainBase, plain + "/back?to=HOME/there", KindStatus, 1},
		{"to https", plainBase, strings.Replace(secureBase, "127.0.0.1", "localhost", 1), KindName, 1},
		{"to http", secureBase, plain + "/cdn", KindRedirect, 1},
		{"to http, the same host and port", secureBase, "http" + strings.TrimPrefix(secureBase, "https"), KindRedirect, 1},
	} {
		for _, code := range []string{"301", "302", "303", "307", "308"} {
			for _, given := range []string{"", "Bearer SECRETx"} {
				away.list, home.list = nil, nil
				base = test.base
				k := new(tokens)
				c := newClient(t, Options{Authorize: k.authorize, TLS: TLSOptions{CACerts: []string{ca}}, Paths: &Paths{}, Limits: LimitOptions{Retries: -1}})
				u := fmt.Sprintf("%s/%s?given=%s&to=%s", base, code, strings.TrimPrefix(given, "Bearer "), strings.ReplaceAll(test.to, "HOME", base))
				request := Request{URLs: []string{u}, Authorization: given, Accept: "a/b"}
				c.Ask(t.Context(), request) // gets a token; the next request could call Authorize again
				answer, err := c.Ask(t.Context(), request)
				if kindOf(err) != test.kind || test.kind == "" && string(answer.Data) != "x" || err != nil && strings.Contains(err.Error(), "SECRET") {
					t.Errorf("%s, %s: %v", test.name, code, err)
				}
				if given == "" && k.given != test.calls || given != "" && k.given != 0 {
					t.Errorf("%s, %s: %d calls", test.name, code, k.given)
				}
				if strings.Join(away.list, "") != "" {
					t.Errorf("%s, %s: the other origin got %q", test.name, code, away.list)
				}
				if n := len(home.list); test.name == "there and back" && home.list[n-1] != "" {
					t.Errorf("%s, %s: after another server's redirect the origin got %q", test.name, code, home.list)
				}
			}
		}
	}
}

// TestTokenExpires has tokens that expire in the middle of a layer, and a store with signed
// URLs to which the registry redirects.
func TestTokenExpires(t *testing.T) {
	data := file(300_000)
	for _, test := range []struct {
		name   string
		script []fault // of the store
		calls  int
		asked  string // the ranges that the store was asked for
		kind   Kind
		got    int
	}{
		{"never broken", nil, 1, "[|]", "", 300_000},
		{"broken twice", []fault{cut(100_000), cut(100_000)}, 3, `[| bytes=100000-|"one" bytes=200000-|"one"]`, "", 300_000},
		{"the URL has expired", []fault{cut(100_000), status(403)}, 3, `[| bytes=100000-|"one" bytes=100000-|"one"]`, "", 300_000},
		{"it has expired twice", []fault{cut(100_000), status(400), status(401)}, 4, `[| bytes=100000-|"one" bytes=100000-|"one" bytes=100000-|"one"]`, "", 300_000},
		{"it is refused from now on", append([]fault{cut(100_000)}, slices.Repeat([]fault{status(403)}, defaultRetries)...), 1 + defaultRetries,
			"[|" + strings.Repeat(` bytes=100000-|"one"`, defaultRetries) + "]", KindStatus, 100_000},
		{"it is refused at once", []fault{status(403)}, 1, "[|]", KindStatus, 0},
		{"the layer is gone", []fault{cut(100_000), status(404)}, 2, `[| bytes=100000-|"one"]`, KindStatus, 100_000},
	} {
		for _, pinned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, pinned %v", test.name, pinned), func(t *testing.T) {
				leaked := new(fields)
				store := newServer(t, data)
				for _, f := range append(test.script, nil) {
					store.script = append(store.script, func(s *server, w http.ResponseWriter, r *http.Request) bool {
						leaked.add(r)
						return f != nil && f(s, w, r)
					})
				}
				k, n := new(tokens), 0
				registry := handle(t, func(w http.ResponseWriter, r *http.Request) {
					// Each token is good for one request.
					if k.given == n || r.Header.Get("Authorization") != fmt.Sprintf("Bearer SECRET%d", k.given) {
						w.WriteHeader(401)
						return
					}
					n = k.given
					http.Redirect(w, r, fmt.Sprintf("%s/blob?signature=SECRET%d", store.URL, n), http.StatusTemporaryRedirect)
				})
				c := newClient(t, Options{Authorize: k.authorize})
				body, err := c.Open(t.Context(), Request{URLs: []string{registry + "/v2/a/blobs/x"}, Pinned: pinned})
				var got []byte
				if err == nil {
					got, err = io.ReadAll(body)
					body.Close()
				}
				if kindOf(err) != test.kind || !bytes.Equal(got, data[:test.got]) || err != nil && strings.Contains(err.Error(), "SECRET") {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if fmt.Sprint(store.requests) != test.asked || k.given != test.calls || strings.Join(leaked.list, "") != "" {
					t.Errorf("the store was asked for %q with %q, after %d calls; want %s after %d", store.requests, leaked.list, k.given, test.asked, test.calls)
				}
			})
		}
	}
}

// TestRefusedAtHome has a server that refuses the rest of a file, after a redirect that does
// not leave the server. It is not asked again: the URL was not signed for some minutes.
func TestRefusedAtHome(t *testing.T) {
	data := file(300_000)
	to := func(_ *server, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "/blob", http.StatusTemporaryRedirect)
		return true
	}
	s := newServer(t, data, to, cut(100_000), to, status(403))
	got, _, err := newClient(t, Options{}).Load(t.Context(), Request{URLs: []string{s.URL}, Pinned: true})
	if e := new(Error); !errors.As(err, &e) || e.Status != 403 || len(s.requests) != 4 {
		t.Errorf("%d bytes after %d requests, %v", len(got), len(s.requests), err)
	}
}

// TestErrorPage checks that Error.Page has the start of the response, if Accept is set.
func TestErrorPage(t *testing.T) {
	const denied = `{"errors":[{"code":"DENIED"}]}`
	for _, test := range []struct {
		name, page string
		flush      bool // the response has no Content-Length
	}{
		{"none", "", false}, {"short", denied, false}, {"without a length", denied, true}, {"4 KiB", strings.Repeat("x", 4<<10), false},
		{"large", strings.Repeat("x", 1<<20), true}, {"for a terminal", "\x1b[2J\r\n", false},
	} {
		for _, code := range []int{400, 401, 403, 404, 429, 500} {
			for _, accept := range []string{"", "application/json"} {
				u := handle(t, func(w http.ResponseWriter, r *http.Request) {
					if got := r.Header.Get("Accept"); accept != "" && got != accept || accept == "" && got != "*/*" {
						t.Errorf("accepts %q", got)
					}
					w.WriteHeader(code)
					if test.flush {
						w.(http.Flusher).Flush()
					}
					io.WriteString(w, test.page)
				})
				k := &tokens{fail: func(int) (string, error) { return "", nil }}
				_, err := newClient(t, Options{Limits: LimitOptions{Retries: -1}, Authorize: k.authorize}).Ask(t.Context(), Request{URLs: []string{u}, Accept: accept})
				var e *Error
				want := test.page[:min(len(test.page), 4<<10)]
				if accept == "" {
					want = ""
				}
				if !errors.As(err, &e) || e.Status != code || string(e.Page) != want || want != "" && strings.Contains(err.Error(), want) {
					t.Errorf("%s, %d, %q: %d bytes, %v", test.name, code, accept, len(e.Page), err)
				}
			}
		}
	}
}

// TestStalledPages has servers that send the header and then nothing, or a byte now and
// then. An error ends after StallWindow, and a redirect or a 401 after a second.
func TestStalledPages(t *testing.T) {
	for _, test := range []struct {
		name string
		code int
		drip bool
		want time.Duration
	}{
		{"404", 404, false, defaultStallWindow}, {"404, drop by drop", 404, true, defaultStallWindow},
		{"401", 401, false, pageTime}, {"401, drop by drop", 401, true, pageTime},
		{"307", 307, false, pageTime}, {"307, drop by drop", 307, true, pageTime},
	} {
		t.Run(test.name, func(t *testing.T) {
			serve := func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "" || r.URL.Path == "/next" {
					w.Header().Set("Content-Type", "application/octet-stream")
					return
				}
				w.Header().Set("Location", "/next")
				w.WriteHeader(test.code)
				io.WriteString(w, "{")
				w.(http.Flusher).Flush()
				for r.Context().Err() == nil {
					select {
					case <-r.Context().Done():
					case <-time.After(time.Second / 3):
						if test.drip {
							io.WriteString(w, "x")
							w.(http.Flusher).Flush()
						}
					}
				}
			}
			k := new(tokens)
			inTime(t, serve, Options{Authorize: k.authorize, Limits: LimitOptions{Retries: -1}}, func(t *testing.T, c *Client) {
				start := time.Now()
				_, err := c.Ask(t.Context(), Request{URLs: []string{"http://images.test/x"}, Accept: "application/json"})
				if d := time.Since(start); d != test.want {
					t.Errorf("took %v, want %v", d, test.want)
				}
				var e *Error
				if (err != nil) != (test.code == 404) || errors.As(err, &e) && (e.Kind != KindStatus || !bytes.HasPrefix(e.Page, []byte("{"))) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

// TestRateLimits checks the waits after 429 and 503: as long as the server asks, not at all
// if that is too long, and few attempts if a server that counts requests says nothing.
func TestRateLimits(t *testing.T) {
	date := func(d time.Duration) func(w http.ResponseWriter) string {
		return func(http.ResponseWriter) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	text := func(s string) func(http.ResponseWriter) string { return func(http.ResponseWriter) string { return s } }
	for _, test := range []struct {
		name  string
		codes []int
		after func(http.ResponseWriter) string
		ok    bool
		waits int
		least time.Duration // of each wait
		wait  time.Duration // of the error
	}{
		{"seconds", []int{429, 503, 200}, text("7"), true, 2, 7 * time.Second, 0},
		{"a date", []int{429, 503, 200}, date(100 * time.Second), true, 2, 90 * time.Second, 0},
		{"for ever", []int{429}, text("7"), false, defaultRetries, 7 * time.Second, 7 * time.Second},
		{"an hour", []int{429}, text("3600"), false, 0, 0, time.Hour},
		{"an hour, overloaded", []int{503}, text("3600"), false, 0, 0, time.Hour},
		{"a date in six hours", []int{429}, date(6 * time.Hour), false, 0, 0, 6 * time.Hour},
		{"a year", []int{429}, text("31536000"), false, 0, 0, 24 * time.Hour},
		{"toomanyrequests, and no word about when", []int{429}, text(""), false, fewRetries, 0, 0},
		{"no word, and then well", []int{429, 429, 200}, text(""), true, 2, 0, 0},
		{"nonsense", []int{429}, text("soon"), false, fewRetries, 0, 0},
		{"overloaded, and no word about when", []int{503}, text(""), false, defaultRetries, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var waits []time.Duration
			seen := new(fields)
			answer := statuses(seen, test.codes...)
			u := handle(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", test.after(w))
				answer(w, r)
			})
			c := newClient(t, Options{Wait: func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }})
			_, err := c.Ask(t.Context(), Request{URLs: []string{u}, Accept: "application/json"})
			var e *Error
			errors.As(err, &e)
			switch {
			case (err == nil) != test.ok || len(waits) != test.waits:
				t.Errorf("waits %v, %v; want %d", waits, err, test.waits)
			case err != nil && (e.Kind != KindStatus || e.Status != test.codes[0] || (e.Wait-test.wait).Abs() > 2*time.Second || string(e.Page) != `{"errors":[]}`):
				t.Errorf("%+v, want to wait %v", e, test.wait)
			}
			for _, d := range waits {
				if d < test.least || d > maxRetryAfter {
					t.Errorf("waits %v, want at least %v each", waits, test.least)
				}
			}
		})
	}
}

// TestAsk checks that the Answer has the header of the response that began the file, and
// that Ask has the limits and retries of Load.
func TestAsk(t *testing.T) {
	data := file(100_000)
	store := newServer(t, data, status(503), cut(30_000))
	registry := handle(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", "of the redirect")
		http.Redirect(w, r, store.URL, http.StatusTemporaryRedirect)
	})
	request := Request{URLs: []string{registry}, Accept: "application/vnd.oci.image.index.v1+json, */*;q=0.1", Max: 100_000}
	answer, err := newClient(t, Options{}).Ask(t.Context(), request)
	if err != nil || !bytes.Equal(answer.Data, data) || answer.Header.Get("Content-Length") != "100000" || answer.Header.Get("Docker-Content-Digest") != "" {
		t.Errorf("%+v, %v", answer, err)
	}
	if got := fmt.Sprint(store.requests); got != `[| | bytes=30000-|"one"]` {
		t.Errorf("requests %s", got)
	}
	manifest := handle(t, send("{}", "Content-Type", "application/vnd.oci.image.manifest.v1+json; charset=utf-8", "Docker-Content-Digest", "sha256:00", "Link", "</v2/a?n=1>; rel=next"))
	answer, err = newClient(t, Options{}).Ask(t.Context(), Request{URLs: []string{manifest}})
	if err != nil || string(answer.Data) != "{}" || answer.Header.Get("Docker-Content-Digest") != "sha256:00" || answer.Header.Get("Link") == "" || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/vnd.oci") {
		t.Errorf("%+v, %v", answer, err)
	}
	name := t.TempDir() + "/x"
	for _, test := range []struct {
		name, url string
		max       int64
		kind      Kind
	}{
		{"a web page", handle(t, send("<html>", "Content-Type", "text/html")), 100, KindHTML},
		{"a web page in disguise", handle(t, send("<html>", "Content-Type", "application/json")), 100, KindHTML},
		{"too large", manifest, 1, KindTooLarge},
		{"not there", handle(t, http.NotFound), 1, KindStatus},
		{"no file", "file://" + name, 1, KindFile},
		{"no URL", "x", 1, KindURL},
	} {
		answer, err := newClient(t, Options{}).Ask(t.Context(), Request{URLs: []string{test.url}, Max: test.max})
		if answer != nil || kindOf(err) != test.kind {
			t.Errorf("%s: %+v, %v", test.name, answer, err)
		}
	}
	if answer, err := newClient(t, Options{}).Ask(t.Context(), Request{URLs: []string{"file:///dev/../etc/passwd"}}); err != nil || answer.Header != nil || len(answer.Data) == 0 {
		t.Errorf("a file: %+v, %v", answer, err)
	}
}

// TestAskAgain checks that the Answer has the header that belongs to its bytes, if the file
// was fetched again.
func TestAskAgain(t *testing.T) {
	n := 0
	u := handle(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("X-N", fmt.Sprint(n))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, fmt.Sprint(n))
		if n < 3 {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "x")
	})
	answer, err := newClient(t, Options{}).Ask(t.Context(), Request{URLs: []string{u}})
	if err != nil || string(answer.Data) != "3x" || answer.Header.Get("X-N") != "3" {
		t.Errorf("%+v, %v", answer, err)
	}
}

// TestConnections checks that downloads share connections, although each begins with a 401
// or a redirect that has a body.
func TestConnections(t *testing.T) {
	data := file(100_000)
	for _, test := range []struct {
		streams int // at the same time
		most    int64
	}{
		{1, 1},
		// While a stream opens a connection, it may take another that has become free, so
		// that there are more than two in the end. Without sharing, there would be 30.
		{2, 10},
	} {
		var opened [2]atomic.Int64
		count := func(i int, f http.HandlerFunc) *httptest.Server {
			s := httptest.NewUnstartedServer(f)
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened[i].Add(1)
				}
			}
			s.Start()
			t.Cleanup(s.Close)
			return s
		}
		store := count(0, func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x.bin", time.Unix(1, 0), bytes.NewReader(data))
		})
		var requests atomic.Int64
		registry := count(1, func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1)%3 == 1 {
				w.WriteHeader(401)
				io.WriteString(w, `{"errors":[]}`)
				return
			}
			http.Redirect(w, r, store.URL, http.StatusTemporaryRedirect)
		})
		k := new(tokens)
		c := newClient(t, Options{Authorize: k.authorize})
		var wg sync.WaitGroup
		for range test.streams {
			wg.Go(func() {
				for range 20 / test.streams {
					body, err := c.Open(t.Context(), Request{URLs: []string{registry.URL}, Pinned: true})
					if kindOf(err) == KindStatus && test.streams > 1 {
						continue // the other stream has got the answers between
					}
					if err != nil {
						t.Error(err)
						return
					}
					if got, err := io.ReadAll(body); err != nil || !bytes.Equal(got, data) {
						t.Errorf("%d bytes, %v", len(got), err)
					}
					body.Close()
				}
			})
		}
		wg.Wait()
		if a, b := opened[0].Load(), opened[1].Load(); a > test.most || b > test.most {
			t.Errorf("%d streams: %d connections to the store and %d to the registry", test.streams, a, b)
		}
	}
}

// badRegistry is a registry with a token server and a store, all on a bad network.
type badRegistry struct {
	t         *testing.T
	seed      uint64
	data      [][]byte // the layers
	mu        sync.Mutex
	rand      *rand.Rand
	faults    int   // that are left: the network is good in the end
	token     int   // the number of the valid token
	uses      int   // requests until the token expires
	signed    int   // the number of the valid signature of the store's URLs
	sent      []int // bytes sent of each layer
	store     *httptest.Server
	registry  *httptest.Server
	authority *httptest.Server
}

// fault returns a number below n of a fault that is due now, 0 if none is.
func (b *badRegistry) fault(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.faults == 0 || b.rand.IntN(5) > 2 {
		return 0
	}
	b.faults--
	return 1 + b.rand.IntN(n-1)
}

// common serves the faults that each of the servers has.
func common(w http.ResponseWriter, fault int) bool {
	switch fault {
	case 1:
		panic(http.ErrAbortHandler)
	case 2:
		w.WriteHeader(503)
	case 3:
		w.Header().Set("Retry-After", "5")
		w.WriteHeader(429)
		io.WriteString(w, "toomanyrequests")
	case 4:
		w.WriteHeader(502)
		io.WriteString(w, "<html>")
	default:
		return false
	}
	return true
}

func (b *badRegistry) serveToken(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "Basic dTpTRUNSRVQ=" {
		b.t.Errorf("seed %d: the token server got %q", b.seed, got)
	}
	if common(w, b.fault(5)) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token++
	b.uses = 3 + b.rand.IntN(2) // so that a new token is still valid when both layers use it
	fmt.Fprintf(w, "SECRET%d", b.token)
}

func (b *badRegistry) serveRegistry(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "" && !strings.HasPrefix(got, "Bearer SECRET") {
		b.t.Errorf("seed %d: the registry got %q", b.seed, got)
	}
	if common(w, b.fault(8)) { // other numbers: no fault
		return
	}
	b.mu.Lock()
	valid := b.uses > 0 && r.Header.Get("Authorization") == fmt.Sprintf("Bearer SECRET%d", b.token)
	if valid {
		b.uses--
	}
	b.signed++
	to := fmt.Sprintf("%s%s?signature=SECRET%d", b.store.URL, r.URL.Path, b.signed)
	b.mu.Unlock()
	if !valid {
		w.Header().Set("WWW-Authenticate", `Bearer realm="x"`)
		w.WriteHeader(401)
		io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`)
		return
	}
	http.Redirect(w, r, to, http.StatusTemporaryRedirect)
}

func (b *badRegistry) serveStore(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("Authorization"); got != "" {
		b.t.Errorf("seed %d: the store got %q", b.seed, got)
	}
	var layer, first int
	fmt.Sscanf(r.URL.Path, "/%d", &layer)
	fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &first)
	b.mu.Lock()
	sent := b.sent[layer]
	b.mu.Unlock()
	if first != sent {
		b.t.Errorf("seed %d: asked for layer %d from byte %d on, after %d", b.seed, layer, first, sent)
	}
	fault := b.fault(8)
	if common(w, fault) {
		return
	}
	left := len(b.data[layer])
	switch fault {
	case 5, 6: // breaks off
		b.mu.Lock()
		left = 1 + b.rand.IntN(left)
		b.mu.Unlock()
	case 7:
		if first > 0 { // the URL has expired
			w.WriteHeader(403)
			return
		}
	}
	left = min(left, len(b.data[layer])-first)
	b.mu.Lock()
	b.sent[layer] += left
	b.mu.Unlock()
	w.Header().Set("ETag", `"one"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&cutter{ResponseWriter: w, left: left}, r, "", time.Time{}, bytes.NewReader(b.data[layer]))
	if first+left < len(b.data[layer]) {
		panic(http.ErrAbortHandler)
	}
}

// TestBadRegistries downloads two layers at once from registries on bad networks. Each
// layer must be right, no byte may be asked for twice, and no secret may reach another
// server than its own. An error must be an *Error, and none may come if the faults are few.
func TestBadRegistries(t *testing.T) {
	complete, tokens := 0, 0
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 13))
		b := &badRegistry{t: t, seed: seed, rand: r, faults: int(seed % 25), sent: make([]int, 2), data: [][]byte{file(300_000), file(170_000)}}
		start := func(f http.HandlerFunc) *httptest.Server {
			s := httptest.NewUnstartedServer(f)
			s.Config.ErrorLog = quiet()
			s.Start()
			return s
		}
		b.store, b.registry, b.authority = start(b.serveStore), start(b.serveRegistry), start(b.serveToken)
		quietly := func(text string) {
			if strings.Contains(text, "SECRET") {
				t.Errorf("seed %d: shows a secret: %s", seed, text)
			}
		}
		var c *Client
		c = newClient(t, Options{
			Report: ReportOptions{Notify: func(e Event) { quietly(fmt.Sprintf("%v %+v", e.Err, e)) }},
			Authorize: func(ctx context.Context, _, _ string) (string, error) {
				answer, err := c.Ask(ctx, Request{URLs: []string{b.authority.URL}, Authorization: "Basic dTpTRUNSRVQ=", Accept: "application/json", Max: 1000})
				if err != nil {
					return "", err
				}
				return "Bearer " + string(answer.Data), nil
			},
		})
		var wg sync.WaitGroup
		for layer, data := range b.data {
			wg.Go(func() {
				body, err := c.Open(t.Context(), Request{URLs: []string{fmt.Sprintf("%s/%d", b.registry.URL, layer)}, Pinned: true, Size: int64(len(data))})
				var got []byte
				if err == nil {
					got, err = io.ReadAll(body)
					body.Close()
				}
				if !bytes.HasPrefix(data, got) || err == nil && len(got) != len(data) || err != nil && kindOf(err) == "" {
					t.Errorf("seed %d, layer %d: %d bytes, %v", seed, layer, len(got), err)
				}
				b.mu.Lock()
				defer b.mu.Unlock()
				if err != nil {
					quietly(fmt.Sprint(err))
					if seed%25 < 3 {
						t.Errorf("seed %d, layer %d: %v after few faults", seed, layer, err)
					}
				} else {
					complete++
				}
			})
		}
		wg.Wait()
		tokens += b.token
		for _, s := range []*httptest.Server{b.store, b.registry, b.authority} {
			s.Close()
		}
	}
	t.Logf("%d of 100 layers are complete, with %d tokens", complete, tokens)
	if complete < 60 || tokens < 50 {
		t.Errorf("the networks show too little: %d of 100 layers are complete, with %d tokens", complete, tokens)
	}
}

// TestQuietWhileAuthorizing checks that a stream does not report that it waits for its
// server while Authorize runs, whose requests report themselves.
func TestQuietWhileAuthorizing(t *testing.T) {
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		switch {
		case r.URL.Path == "/token":
			time.Sleep(25 * time.Second)
		case r.Header.Get("Authorization") == "":
			w.WriteHeader(401)
		}
	}
	var c *Client
	var told []string
	opt := Options{
		Report: ReportOptions{Waiting: func(w Waiting) { told = append(told, w.URL) }},
		Authorize: func(ctx context.Context, _, _ string) (string, error) {
			_, err := c.Get(ctx, "http://images.test/token", 10)
			return "Bearer SECRET", err
		},
	}
	inTime(t, serve, opt, func(t *testing.T, client *Client) {
		c = client
		if _, err := c.Get(t.Context(), "http://images.test/x", 10); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if fmt.Sprint(told) != "[http://images.test/token http://images.test/token]" {
			t.Errorf("told of %q", told)
		}
	})
}
