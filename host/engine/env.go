package engine

import (
	"context"

	"github.com/wasmhost/wasmhost/abi"
)

// Env is what one task can reach through the host functions. Its methods are
// called by one goroutine at a time, with the task's context. Errors reach the
// guest as abi.CodeOf(err) and abi.MessageOf(err).
type Env interface {
	// OpenRows starts a query. The engine closes what it returns, at the end of
	// the task at the latest.
	OpenRows(ctx context.Context, q *abi.Query) (Rows, error)

	// WriteRows applies one atomic batch. rows is the guest's own memory: it is
	// valid only until WriteRows returns.
	WriteRows(ctx context.Context, ms []abi.Mutation, rows []byte) ([]abi.WriteResult, error)

	// Command executes a named command. r.Params is the guest's own memory.
	Command(ctx context.Context, r *abi.Request) ([]byte, error)

	// Progress notes that done of total are done.
	Progress(ctx context.Context, done, total int64) error

	// Log takes one line of the guest's.
	Log(ctx context.Context, level abi.Level, line string)
}

// Rows is an open query.
type Rows interface {
	// Next fills dst with whole rows and returns how many bytes they take; 0 is
	// the end. A row larger than dst is a [*TooSmallError], after which Next can
	// be called again with more room.
	Next(ctx context.Context, dst []byte) (int, error)
	Close() error
}

// TooSmallError says that not even one row fits.
type TooSmallError struct {
	Size int // bytes that the next call needs
}

func (e *TooSmallError) Error() string { return "a row is larger than the buffer" }

// Unwrap makes errors.Is(err, abi.BufferTooSmall) true.
func (e *TooSmallError) Unwrap() error { return abi.BufferTooSmall }
