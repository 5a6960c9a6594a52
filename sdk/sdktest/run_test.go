package sdktest

import (
	"testing"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// The host is called with bytes that no SDK would send.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	h := New(t)
	h.Table("primary", "n", []string{"id"})
	host := &run{h: h, cursors: map[uint32]*cursor{}}
	buf := make([]byte, 100)
	var head wire.Writer
	head.Mutations(abi.Mutation{Handle: "primary", Collection: "n", Verb: abi.Insert, Size: 5})
	var two wire.Writer
	two.Mutations(abi.Mutation{Handle: "primary", Collection: "n", Verb: abi.Insert, Size: 4})
	for name, res := range map[string]abi.Result{
		"a query of garbage":        host.RowsOpen([]byte{0xc1}),
		"a cursor that is not open": host.RowsNext(7, buf),
		"closing what is not open":  host.RowsClose(0),
		"a head of garbage":         host.RowsWrite([]byte{0xc1}, nil, buf),
		"no mutation":               host.RowsWrite([]byte{0x90}, nil, buf),
		"a size beyond the rows":    host.RowsWrite(head.B, []byte{0x91, 0xa2, 'i', 'd'}, buf),
		"rows behind the last":      host.RowsWrite(two.B, []byte{0x91, 0xa2, 'i', 'd', 0x91, 0x01}, buf),
		"a command of garbage":      host.Command([]byte{0x80, 0x80}, buf),
	} {
		if res.Code() != abi.InvalidArgument {
			t.Errorf("%s: got %s, want invalid_argument", name, res.Code())
		}
	}
	// What waits is for a buffer that is large enough, and is gone with
	// the next call.
	res := host.RowsClose(0)
	if small := host.Pending(buf[:1]); small != abi.Pack(abi.BufferTooSmall, res.N()) {
		t.Errorf("pending into a small buffer: got %s, %d", small.Code(), small.N())
	}
	if text := host.Pending(buf); text.N() != res.N() || string(buf[:text.N()]) != "cursor 0 is not open" {
		t.Errorf("pending: got %q", buf[:text.N()])
	}
	if again := host.Pending(buf); again != 0 {
		t.Errorf("pending twice: got %s, %d", again.Code(), again.N())
	}
}
