// Package fetch downloads files over HTTP and HTTPS, and reads file URLs.
//
// Client.Get returns a small file as a byte slice. Client.Ask also returns the
// header of the response, which clients of container registries need. Client.Open
// returns a large file as a stream. When the connection breaks or stalls, the stream
// sends another request that begins at the first missing byte, to the same server or
// to another server that has the same file. The package does not verify signatures:
// the caller must treat every byte as untrusted until it has checked a digest or a
// signature.
//
// # Rules
//
//   - Only http, https and file URLs given by the caller are fetched. A redirect
//     may lead to http or https only, and never from https to http. Each request,
//     also one that continues a download, begins at the caller's URL, since the URL
//     to which a server redirects may be signed for some minutes only.
//   - Credentials belong to one origin (scheme, host and port). They are sent to
//     no other origin, even after a redirect. This includes what Options.Authorize
//     returns, such as the token of a registry, and no error or report shows it.
//   - The package asks for no Content-Encoding, and a response that has one is an
//     error, since a digest is computed over the file itself.
//   - Time limits apply to progress (bytes within a window of time), not to the
//     whole download.
//   - The caller supplies the clock for certificate verification
//     (TLSOptions.Now), since boards without a battery start in 1970.
//     Verification is never off.
//   - Name servers and CA certificates are searched where Linux, Termux, Android
//     and OpenWrt keep them (paths.go). No public resolver is used unless the
//     caller names one.
//   - The package logs nothing. Options.Report tells the caller about retries.
//
// The package has no HTTP/2 (it would add 0.4 MB to the program, and a download
// is a single stream), no cookies, no login forms and no FTP.
//
// # The life of one request
//
// Client.Open (open.go) parses the URLs and makes a Body. Body.connect (retry.go)
// calls Body.send (response.go), which calls Client.do (request.go). Client.do
// sets the header, sends the request and follows redirects. If the server answers
// 401, Body.authorize (authorize.go) gets another Authorization field, and
// Body.send sends the request again. Client.roundTrip chooses the proxy,
// Client.through chooses the connection pool, and Client.dial (names.go) resolves
// the host name. Body.accept (response.go) checks that the response continues the
// bytes that the caller already has. Body.Read (body.go) then reads from the
// connection. After a failure, Body.next (retry.go) chooses a URL and waits before
// Body.connect sends the next request. An error that ends the download is an *Error
// (error.go), or the error of Options.Authorize.
//
// # Reading order
//
// Read options.go and client.go first, then open.go, body.go, response.go and
// retry.go for the stream, and request.go for one HTTP request. header.go parses
// header fields, authorize.go keeps the results of Options.Authorize, and file.go
// reads local files. stall.go and limit.go measure the speed of a download, and
// watch.go reports a slow download to the caller. course.go retries after a wrong
// digest. url.go, proxy.go, names.go, android.go, roots.go, embedded.go and early.go
// handle URLs, proxies, name servers, CA certificates and wrong clocks. paths.go
// lists the files that they read.
package fetch
