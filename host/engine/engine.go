package engine

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/engine/rewrite"
)

// Config configures an [Engine].
type Config struct {
	// CacheDir keeps compiled code across restarts, so that a module that is
	// known starts in milliseconds. It is as trusted as the host's own binary:
	// nobody else may write to it. "" compiles anew each time.
	CacheDir string

	// MaxModuleBytes is the largest .wasm file that is looked at; default 64 MiB.
	MaxModuleBytes int64

	// Logger gets what guests print outside of a task; default discards.
	Logger *slog.Logger

	interpreter bool // instead of the compiler: see selfTest
}

// Engine compiles modules. It is safe for concurrent use.
type Engine struct {
	cfg     Config
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	offered map[string]map[string]api.FunctionDefinition // import module → name → type
}

// New starts an engine. Close it after all of its modules.
func New(ctx context.Context, cfg Config) (_ *Engine, err error) {
	if cfg.MaxModuleBytes <= 0 {
		cfg.MaxModuleBytes = 64 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg}
	rc := wazero.NewRuntimeConfigCompiler()
	if cfg.interpreter {
		rc = wazero.NewRuntimeConfigInterpreter()
	}
	if cfg.CacheDir != "" {
		if err := os.MkdirAll(cfg.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("making the compile cache: %w", err)
		}
		if e.cache, err = wazero.NewCompilationCacheWithDir(cfg.CacheDir); err != nil {
			return nil, fmt.Errorf("opening the compile cache: %w", err)
		}
		rc = rc.WithCompilationCache(e.cache)
	}
	e.runtime = wazero.NewRuntimeWithConfig(ctx, rc)
	defer func() {
		if err != nil {
			_ = e.Close(context.WithoutCancel(ctx))
		}
	}()
	wasi, err := instantiateWASI(ctx, e.runtime)
	if err != nil {
		return nil, fmt.Errorf("instantiating WASI: %w", err)
	}
	contract, err := instantiateImports(ctx, e.runtime)
	if err != nil {
		return nil, fmt.Errorf("instantiating %s: %w", abi.Module, err)
	}
	tick, err := instantiateTick(ctx, e.runtime)
	if err != nil {
		return nil, fmt.Errorf("instantiating %s: %w", rewrite.TickModule, err)
	}
	e.offered = map[string]map[string]api.FunctionDefinition{
		abi.Module:                        contract.ExportedFunctionDefinitions(),
		rewrite.TickModule:                tick.ExportedFunctionDefinitions(),
		wasi_snapshot_preview1.ModuleName: wasi.ExportedFunctionDefinitions(),
	}
	return e, nil
}

// Close frees everything the engine compiled. No sandbox may be in use.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		if cerr := e.cache.Close(ctx); err == nil {
			err = cerr
		}
	}
	return err
}
