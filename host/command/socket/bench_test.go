package socket

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/command"
)

// BenchmarkPing is the round trip of a built-in command beside that of the same
// bytes through a socket whose other end sends them back, in the same run.
func BenchmarkPing(b *testing.B) {
	r := command.NewRouter(nil)
	if err := command.RegisterBuiltins(r, command.Builtins{}); err != nil { // of which ping needs nothing
		b.Fatal(err)
	}
	s, err := ServeCommands(b.Context(), Config{File: File{Path: newPath(b)}}, r, command.Operator())
	if err != nil {
		b.Fatal(err)
	}
	defer stop(b, s)
	bare := newPath(b)
	l, err := net.Listen("unix", bare)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn}) // not the kernel's own copy
	}()

	const request = `{"command":"ping","params":{}}` + "\n"
	roundTrip := func(path string) func() time.Duration {
		conn, err := net.Dial("unix", path)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		lines := bufio.NewReader(conn)
		return func() time.Duration {
			begin := time.Now()
			if _, err := io.WriteString(conn, request); err != nil {
				b.Fatal(err)
			}
			if _, err := lines.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
			return time.Since(begin)
		}
	}
	ping, echo := roundTrip(s.cfg.File.Path), roundTrip(bare)
	var pings, echoes time.Duration
	for b.Loop() {
		pings += ping()
		echoes += echo()
	}
	b.ReportMetric(float64(pings.Nanoseconds())/float64(b.N), "ns/ping")
	b.ReportMetric(float64(echoes.Nanoseconds())/float64(b.N), "ns/echo")
	b.ReportMetric(float64(pings)/float64(echoes), "ping/echo")
	b.ReportMetric(0, "ns/op") // of both together, which says nothing
}
