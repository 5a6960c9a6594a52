package engine

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// slice is how much fuel a guest uses between two ticks: at the speed of native
// code a fraction of a millisecond, so that a deadline is not missed by more.
const slice = 200_000

// fuel is the account of one run. The guest's counter, which package rewrite
// puts into the module, holds what is left of what was granted; below zero the
// guest calls the tick.
type fuel struct {
	limit   int64 // 0 for none
	granted int64
}

// errFuel is the panic with which a tick ends a guest over its limit.
var errFuel = abi.Errorf(abi.LimitExceeded, "the limit of fuel is used up")

// instantiateTick offers the function that rewritten modules import.
func instantiateTick(ctx context.Context, r wazero.Runtime) (api.Module, error) {
	return r.NewHostModuleBuilder(rewrite.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, _ []uint64) {
			s := ctx.Value(sandboxKey{}).(*Sandbox)
			s.stopIfOver()
			s.task.fuel.refill(counterOf(mod))
		}), nil, nil).
		Export(rewrite.TickName).
		Instantiate(ctx)
}

func counterOf(m api.Module) api.MutableGlobal {
	return m.ExportedGlobal(rewrite.Counter).(api.MutableGlobal)
}

// begin opens an account and grants the first slice.
func (f *fuel) begin(counter api.MutableGlobal, limit int64) {
	*f = fuel{limit: limit}
	counter.Set(0)
	f.grant(counter, 0)
}

// used returns what the guest has used since begin.
func (f *fuel) used(counter api.MutableGlobal) int64 {
	return f.granted - int64(int32(uint32(counter.Get())))
}

// refill grants the next slice, or unwinds a guest that is over its limit.
func (f *fuel) refill(counter api.MutableGlobal) {
	used := f.used(counter)
	if f.limit > 0 && used > f.limit {
		panic(errFuel)
	}
	f.grant(counter, used)
}

// grant lets the guest use one slice more than it has used, and never more
// than its limit.
func (f *fuel) grant(counter api.MutableGlobal, used int64) {
	next := used + slice
	if f.limit > 0 {
		next = min(next, f.limit)
	}
	f.granted = next
	counter.Set(uint64(uint32(int32(next - used))))
}
