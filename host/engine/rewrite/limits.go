package rewrite

import "github.com/wasmhost/wasmhost/abi"

// Limits bound what a module may declare. The zero value of a field means its
// default. A module beyond one of them is refused with abi.LimitExceeded; the
// text names the limit, and the function where there is one.
type Limits struct {
	ModuleBytes   int // the whole file; default 64 MiB, at most 1 GiB
	Types         int // default 10 000
	Imports       int // default 10 000
	Exports       int // default 10 000
	Functions     int // imported ones included; default 200 000
	FunctionBytes int // one body; default 4 MiB, at most 8 MiB
	Params        int // parameters, and results, of one type; default 1000
	Locals        int // of one function, its parameters included; default 50 000
	Nesting       int // blocks within blocks of one function; default 10 000
	Targets       int // of one br_table; default 50 000
	Globals       int // imported ones included; default 100 000
	Tables        int // imported ones included; default 100
	TableElements int // of one table, at the start and after any growth; default 1 000 000
	TableGrowth   int // by how many elements one table may grow; default 1 000 000
	MemoryPages   int // of 64 KiB, at the start and after any growth; default 65 536
	Segments      int // data segments, and element segments; default 100 000
}

// The counter is 32 bits wide, and between two checks one function may charge
// no more than its size allows: these keep the sum far from overflowing. See
// "The counter cannot wrap" in doc.go.
const (
	maxModuleBytes   = 1 << 30
	maxFunctionBytes = 8 << 20
)

func (l Limits) withDefaults() Limits {
	set := func(v *int, def, most int) {
		if *v <= 0 {
			*v = def
		}
		*v = min(*v, most)
	}
	const most = 1 << 30
	set(&l.ModuleBytes, 64<<20, maxModuleBytes)
	set(&l.Types, 10_000, most)
	set(&l.Imports, 10_000, most)
	set(&l.Exports, 10_000, most)
	set(&l.Functions, 200_000, most)
	set(&l.FunctionBytes, 4<<20, maxFunctionBytes)
	set(&l.Params, 1000, most)
	set(&l.Locals, 50_000, most)
	set(&l.Nesting, 10_000, most)
	set(&l.Targets, 50_000, most)
	set(&l.Globals, 100_000, most)
	set(&l.Tables, 100, most)
	set(&l.TableElements, 1_000_000, most)
	set(&l.TableGrowth, 1_000_000, most)
	set(&l.MemoryPages, 65_536, 65_536)
	set(&l.Segments, 100_000, most)
	return l
}

func exceeded(what string, n uint64, limit int) error {
	return abi.Errorf(abi.LimitExceeded, "%d %s are more than the limit of %d", n, what, limit)
}

func invalid(format string, args ...any) error {
	return abi.Errorf(abi.InvalidModule, format, args...)
}
