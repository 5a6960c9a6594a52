package host

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
	"github.com/wasmhost/wasmhost/host/command"
	"github.com/wasmhost/wasmhost/host/data"
	"github.com/wasmhost/wasmhost/host/engine"
	"github.com/wasmhost/wasmhost/host/metrics"
)

// commands is where a job's commands go: a [command.Router], or a dry run.
type commands interface {
	Execute(ctx context.Context, c command.Caller, name string, params []byte) ([]byte, error)
}

// env is everything that one job can reach.
type env struct {
	progress func(done, total int64)
	data     *data.Access
	commands commands
	events   *command.Events
	told     map[string]config.Handle // whose changes become events
	caller   command.Caller
	log      *slog.Logger

	untold                               error // what kept an atomic task's changes from being told
	sql                                  time.Duration
	rowsWritten, bytesRead, bytesWritten int64
}

var _ engine.Env = (*env)(nil)

func (e *env) OpenRows(ctx context.Context, q *abi.Query) (engine.Rows, error) {
	defer e.timeSQL(time.Now())
	cursor, err := e.data.Open(ctx, q)
	if err != nil {
		return nil, err
	}
	return &rows{env: e, cursor: cursor}, nil
}

func (e *env) WriteRows(ctx context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error) {
	defer e.timeSQL(time.Now())
	results, err := e.data.Write(data.WithCaller(ctx, e.caller.Worker), ms, rows)
	if err == nil {
		e.bytesWritten += int64(len(rows))
	}
	for _, r := range results {
		e.rowsWritten += r.Applied
	}
	if err := e.tellChanges(ctx, ms, results); err != nil {
		e.untold = err
		return nil, err
	}
	return results, err
}

func (e *env) Command(ctx context.Context, r *abi.Request) ([]byte, error) {
	e.caller.Call++
	return e.commands.Execute(ctx, e.caller, r.Name, r.Params)
}

func (e *env) Progress(_ context.Context, done, total int64) error {
	e.progress(done, total)
	return nil
}

func (e *env) Log(ctx context.Context, level abi.Level, line string) {
	levels := map[abi.Level]slog.Level{
		abi.Debug: slog.LevelDebug, abi.Info: slog.LevelInfo, abi.Warn: slog.LevelWarn, abi.Severe: slog.LevelError,
	}
	e.log.Log(ctx, levels[level], line)
}

func (e *env) timeSQL(start time.Time) { e.sql += time.Since(start) }

func (e *env) bill(u engine.Usage) metrics.Bill {
	ms := metrics.Milliseconds
	spent := e.caller.Budget.Spent()
	return metrics.Bill{
		WallMS: ms(u.Wall), CPUMS: ms(u.CPU), GuestMS: ms(u.Wall - u.Host), SQLMS: ms(e.sql), HostMS: ms(max(u.Host-e.sql, 0)),
		RowsRead: e.data.RowsRead(), RowsWritten: e.rowsWritten, BytesRead: e.bytesRead, BytesWritten: e.bytesWritten, BytesIn: u.BytesIn, BytesOut: u.BytesOut,
		Fuel: u.Fuel, HostCalls: u.HostCalls, Commands: u.CommandsRun, PeakMemoryBytes: u.PeakMemory,
		AICalls: spent.Calls, AIRecalled: spent.Recalled, AIInputTokens: spent.InputTokens, AIOutputTokens: spent.OutputTokens,
		AICostUSD: spent.CostUSD, AIUnpriced: spent.Unpriced,
	}
}

// rows is a cursor whose time and bytes go on the task's bill.
type rows struct {
	env    *env
	cursor data.Cursor
}

func (r *rows) Next(ctx context.Context, dst []byte) (int, error) {
	defer r.env.timeSQL(time.Now())
	n, err := r.cursor.Next(ctx, dst)
	r.env.bytesRead += int64(n)
	var large *data.RowTooLargeError
	if errors.As(err, &large) {
		return 0, &engine.TooSmallError{Size: large.Size}
	}
	return n, err
}

func (r *rows) Close() error {
	defer r.env.timeSQL(time.Now())
	return r.cursor.Close()
}
