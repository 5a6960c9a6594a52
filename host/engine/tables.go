package engine

import (
	"encoding/binary"
	"slices"

	"github.com/wasmhost/wasmhost/abi"
)

// The runtime lets a table have 2^32 elements of 8 bytes and makes whatever a
// module declares, so one instruction could take 32 GiB of the host. It has no
// setting for that; a module's own declaration is the only bound it keeps.

const (
	sectionTable = 4
	headerBytes  = 8 // magic and version
)

// boundTables returns the module with the maximum of every table lowered such
// that all of them together cannot have more than limit elements. wasm itself
// is left as it is. What the runtime refuses anyway is passed on to it.
func boundTables(wasm []byte, limit int) ([]byte, error) {
	for off := headerBytes; off < len(wasm); {
		id := wasm[off]
		size, n := binary.Uvarint(wasm[off+1:])
		start := off + 1 + n
		if n <= 0 || size > uint64(len(wasm)-start) {
			return nil, abi.Errorf(abi.InvalidModule, "not valid Wasm: section %d at byte %d ends behind the file", id, off)
		}
		end := start + int(size)
		if id == sectionTable {
			// The format has one such section at most; the decoder sees to it.
			tables, err := readTables(wasm[start:end], limit)
			if err != nil {
				return nil, err
			}
			section := encodeTables(tables, limit)
			out := slices.Concat(wasm[:off], []byte{id}, binary.AppendUvarint(nil, uint64(len(section))), section, wasm[end:])
			return out, nil
		}
		off = end
	}
	return wasm, nil
}

// table is one entry of the table section.
type table struct {
	refType byte
	min     uint64
	max     uint64 // the largest number when none is declared
}

func readTables(b []byte, limit int) ([]table, error) {
	next := func() (uint64, bool) {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, false
		}
		b = b[n:]
		return v, true
	}
	count, ok := next()
	// An entry takes three bytes at least.
	if !ok || count > uint64(len(b)/3) {
		return nil, abi.Errorf(abi.InvalidModule, "not valid Wasm: the table section ends too early")
	}
	tables := make([]table, count)
	elements := uint64(0)
	for i := range tables {
		if len(b) < 2 {
			return nil, abi.Errorf(abi.InvalidModule, "not valid Wasm: the table section ends too early")
		}
		t := table{refType: b[0], max: 1<<32 - 1}
		flags := b[1]
		if t.refType != 0x70 && t.refType != 0x6f || flags > 1 {
			return nil, abi.Errorf(abi.InvalidModule, "table %d is neither a plain funcref nor a plain externref table", i)
		}
		b = b[2:]
		if t.min, ok = next(); ok && flags == 1 {
			t.max, ok = next()
		}
		if !ok || t.min > 1<<32-1 || t.max > 1<<32-1 || t.max < t.min {
			return nil, abi.Errorf(abi.InvalidModule, "not valid Wasm: table %d has no valid size", i)
		}
		if elements += t.min; elements > uint64(limit) {
			return nil, abi.Errorf(abi.InvalidModule, "its tables have %d elements or more; the limit is %d", elements, limit)
		}
		tables[i] = t
	}
	if len(b) > 0 {
		return nil, abi.Errorf(abi.InvalidModule, "not valid Wasm: %d bytes behind the last table", len(b))
	}
	return tables, nil
}

// encodeTables gives each table an equal share of what is left of limit.
func encodeTables(tables []table, limit int) []byte {
	left := uint64(limit)
	for _, t := range tables {
		left -= t.min
	}
	share := left / uint64(max(len(tables), 1))
	b := binary.AppendUvarint(nil, uint64(len(tables)))
	for _, t := range tables {
		b = append(b, t.refType, 1)
		b = binary.AppendUvarint(b, t.min)
		b = binary.AppendUvarint(b, min(t.max, t.min+share))
	}
	return b
}
