package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/config"
)

// Exit codes. The root command's help explains them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitTaskFailed  = 3
	exitNotFound    = 4
	exitTimedOut    = 5
	exitDiffers     = 6
	exitInterrupted = 130
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command line is wrong.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exit reports an error and returns the exit code for it.
func (a *app) exit(ctx context.Context, err error) int {
	code := a.exitCode(ctx, err)
	if err == nil {
		return code
	}
	// Where the reader of our output has gone away there is nobody to tell.
	if a.json {
		body := map[string]any{"code": jsonCode(code, err), "message": err.Error(), "exit": code}
		_ = json.NewEncoder(a.stderr).Encode(map[string]any{"error": body})
		return code
	}
	_, _ = fmt.Fprintf(a.stderr, "wasmhost: %v\n", err)
	if next := a.next(code, err); next != "" {
		_, _ = io.WriteString(a.stderr, next+"\n")
	}
	return code
}

func (a *app) exitCode(ctx context.Context, err error) int {
	var own *exitError
	var problems config.Problems
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own):
		return own.code
	case errors.As(err, &problems) || !a.started:
		return exitUsage
	case ctx.Err() != nil && (errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled)):
		return exitInterrupted
	}
	switch abi.CodeOf(err) {
	case abi.NotFound, abi.UnknownWorker, abi.UnknownCommand:
		return exitNotFound
	case abi.InvalidArgument:
		return exitUsage
	}
	return exitFailed
}

// jsonCode names an error for programs.
func jsonCode(exit int, err error) string {
	var code abi.Code
	switch {
	case errors.As(err, &code):
		return code.String()
	case exit == exitUsage:
		return abi.InvalidArgument.String()
	case exit == exitInterrupted:
		return abi.Cancelled.String()
	case exit == exitTimedOut:
		return abi.DeadlineExceeded.String()
	}
	return abi.Failed.String()
}

// next says what to do about an error whose text does not.
func (a *app) next(code int, err error) string {
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return "See what is set, and where, with: wasmhost config show --help"
	case code == exitUsage:
		return "See: wasmhost --help, or --help after the command."
	case errors.Is(err, abi.UnknownWorker):
		return "See what is in the workers' folder with: wasmhost workers"
	case errors.Is(err, abi.UnknownCommand):
		return "See what there is with: wasmhost exec commands/list"
	}
	return ""
}
