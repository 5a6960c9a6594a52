package host_test

import (
	"encoding/binary"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// tiny describes a module of some hundred bytes, which compiles at once.
type tiny struct {
	manifest string // "" for none
	result   string // that it returns, for any task
	traps    bool   // on every task
	start    bool   // traps when it starts
	code     abi.Code
}

// module writes it down.
func (g tiny) module() []byte {
	const i32, i64 = 0x7f, 0x7e
	vec := func(b []byte) []byte { return append(binary.AppendUvarint(nil, uint64(len(b))), b...) }
	join := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	section := func(id byte, entries ...[]byte) []byte {
		return append([]byte{id}, vec(join(append([][]byte{binary.AppendUvarint(nil, uint64(len(entries)))}, entries...)...))...)
	}
	number := func(n int) []byte { // i32.const, as a signed LEB128
		b := []byte{0x41}
		for ; n >= 0x40; n >>= 7 {
			b = append(b, byte(n)|0x80)
		}
		return append(b, byte(n))
	}
	var out wire.Writer
	if g.code == abi.OK {
		if err := out.Value(map[string]any{"is": g.result}); err != nil {
			panic(err)
		}
	} else {
		out.TaskError(&abi.TaskError{Message: g.result})
	}
	const outAt, inputAt = 4096, 16384
	work := join([]byte{0}, number(outAt), number(len(out.B)), []byte{0x10, 0, 0x1a}, number(int(g.code)), []byte{0x0b})
	if g.traps {
		work = []byte{0, 0, 0x0b}
	}
	initialize := []byte{0, 0x0b}
	if g.start {
		initialize = []byte{0, 0, 0x0b} // unreachable
	}
	m := join([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, join([]byte{0x60}, vec([]byte{i32, i32}), vec([]byte{i64})), join([]byte{0x60}, vec([]byte{i32}), vec([]byte{i32})), []byte{0x60, 0, 0}),
		section(2, join(vec([]byte(abi.Module)), vec([]byte(abi.ImportTaskReturn)), []byte{0, 0})),
		section(3, []byte{1}, []byte{1}, []byte{2}),
		section(5, []byte{0, 1}),
		section(7, join(vec([]byte(abi.ExportMemory)), []byte{2, 0}), join(vec([]byte(abi.ExportInput)), []byte{0, 1}),
			join(vec([]byte(abi.ExportWork)), []byte{0, 2}), join(vec([]byte(abi.ExportInitialize)), []byte{0, 3})),
		section(10, vec(join([]byte{0}, number(inputAt), []byte{0x0b})), vec(work), vec(initialize)),
		section(11, join([]byte{0}, number(outAt), []byte{0x0b}, vec(out.B))),
	)
	if g.manifest == "" {
		return m
	}
	return withManifest(m, g.manifest)
}
