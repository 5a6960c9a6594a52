package engine

import (
	"context"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// instantiateWASI offers WASI without what a guest could leave behind in the
// runtime, where neither a snapshot nor a reset reaches it: which of the three
// standard streams are open. Closing one succeeds and does nothing.
func instantiateWASI(ctx context.Context, r wazero.Runtime) (api.Module, error) {
	const (
		streams = 3
		badf    = 8
		notsup  = 58
	)
	b := r.NewHostModuleBuilder(wasi_snapshot_preview1.ModuleName)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
		open := uint32(stack[0]) < streams
		stack[0] = badf
		if open {
			stack[0] = 0
		}
	}), []api.ValueType{i32}, []api.ValueType{i32}).Export("fd_close")
	b.NewFunctionBuilder().WithGoFunction(api.GoFunc(func(_ context.Context, stack []uint64) {
		stack[0] = notsup
	}), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export("fd_renumber")
	return b.Instantiate(ctx)
}
