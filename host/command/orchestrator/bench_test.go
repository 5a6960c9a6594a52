package orchestrator

import (
	"bufio"
	"slices"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/host/command"
)

const pong = `{"success":true,"result":{"context":{"environment":"server"},"sessionId":"00000000-0000-0000-0000-000000000000","pong":true}}` + "\n"

// BenchmarkExecute calls a command of the orchestrator as a worker does, in turns
// with the same bytes to and fro over a socket without us: x is the ratio of the
// two medians, that is what we add. The servers are one in this process, which only
// copies bytes, and the orchestrator in Node.
func BenchmarkExecute(b *testing.B) {
	b.Run("go", func(b *testing.B) {
		socket := newSocket(b)
		serve(b, socket, reply(pong))
		compare(b, socket)
	})
	b.Run("node", func(b *testing.B) {
		socket := newSocket(b)
		startNode(b, socket)
		compare(b, socket)
	})
}

func compare(b *testing.B, socket string) {
	r := newRouter(b, newClient(b, Config{Socket: socket}), command.Builtins{})
	w := command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"test/*"}}}
	bare := dial(b, socket)
	line := []byte(`{"command":"test/ping","params":{}}` + "\n")
	in := bufio.NewReader(bare)
	var alone, ours []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		if _, err := bare.Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := in.ReadSlice('\n'); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if _, err := r.Execute(b.Context(), w, "test/ping", nil); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, time.Since(between))
		alone = append(alone, between.Sub(began))
	}
	slices.Sort(alone)
	slices.Sort(ours)
	a, o := float64(alone[len(alone)/2]), float64(ours[len(ours)/2])
	b.ReportMetric(o/a, "x")
	b.ReportMetric(a, "ns/bare")
	b.ReportMetric(o, "ns/ours")
}
