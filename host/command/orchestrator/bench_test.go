package orchestrator

import (
	"bufio"
	"net"
	"testing"

	"github.com/wasmhost/wasmhost/host/command"
)

// BenchmarkExecute is a command of the orchestrator called as a worker does, and
// BenchmarkSocket the same bytes to and fro without us: their ratio is what we
// add.
func BenchmarkExecute(b *testing.B) {
	socket := newSocket(b)
	serve(b, socket, reply(pong))
	r := newRouter(b, newClient(b, Config{Socket: socket}), command.Builtins{})
	w := command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"test/*"}}}
	params := []byte{0x81, 0xa1, 'a', 1}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Execute(b.Context(), w, "test/ping", params); err != nil {
			b.Fatal(err)
		}
	}
}

const pong = `{"success":true,"result":{"pong":true,"a":1,"context":{"environment":"server"},"sessionId":"00000000-0000-0000-0000-000000000000"}}` + "\n"

func BenchmarkSocket(b *testing.B) {
	socket := newSocket(b)
	serve(b, socket, reply(pong))
	c, err := net.Dial("unix", socket)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	line, err := request("test/ping", object{"a": int64(1)}, 1<<20)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for r := bufio.NewReader(c); b.Loop(); {
		if _, err := c.Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := r.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
	}
}
