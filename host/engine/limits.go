package engine

import "github.com/wasmhost/wasmhost/abi"

// Limits bound what one guest can make the host hold or do. The zero value of
// a field means its default.
type Limits struct {
	MemoryBytes   uint64 // the guest's linear memory; default 64 MiB, at most 4 GiB
	Fuel          int64  // per task, as package rewrite counts it; 0 for no limit
	TableElements int    // of one table, 8 bytes each, of which there may be 4; default 128 Ki
	TableGrowth   int    // elements that are added to one table; default 16 Ki
	RequestBytes  int    // one query, mutation head or command as sent; default 16 MiB
	ResponseBytes int    // one answer that the host holds until it is read; default 64 MiB
	ResultBytes   int    // what task_return takes; default 1 MiB
	OpenCursors   int    // default 16
	Commands      int    // calls of the import command per task; default 1,000,000
	NestedCalls   int    // guests that wait for one another when this one is run; default 8
	TransferBytes int64  // per task, to and from the guest together; 0 for no limit
	LogLines      int    // per task, printed output included; default 1000
	LogLineBytes  int    // longer lines are cut; default 4096
}

// overLimit names a limit as the configuration does.
func overLimit(name, format string, args ...any) error {
	return abi.Errorf(abi.LimitExceeded, format+" (limit: "+name+")", args...)
}

// maxTables is how many tables a module may have. Compilers make one.
const maxTables = 4

const pageSize = 64 << 10

func (l Limits) withDefaults() Limits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 64 << 20
	}
	l.MemoryBytes = min(l.MemoryBytes, 4<<30)
	l.MemoryBytes -= l.MemoryBytes % pageSize
	set(&l.TableElements, 128<<10)
	set(&l.TableGrowth, 16<<10)
	set(&l.RequestBytes, 16<<20)
	set(&l.ResponseBytes, 64<<20)
	set(&l.ResultBytes, 1<<20)
	set(&l.OpenCursors, 16)
	set(&l.Commands, 1_000_000)
	set(&l.NestedCalls, 8)
	set(&l.LogLines, 1000)
	set(&l.LogLineBytes, 4096)
	return l
}
