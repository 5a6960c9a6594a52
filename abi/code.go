package abi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
)

// Code says how a call or a task ended. The list is only ever appended to.
//
// A Code is an error, so errors.Is(err, abi.UnknownColumn) finds it under any
// amount of wrapping.
type Code uint32

// The codes of version 1.
const (
	OK                Code = iota // success
	InvalidArgument               // the request is malformed: bad msgpack, a pointer outside of memory, an unknown operator
	NotGranted                    // the worker was not given this handle, verb, column, command or key
	UnknownHandle                 // no database has this name
	UnknownCollection             // the handle has no such table
	UnknownColumn                 // the table has no such column
	UnknownCommand                // nobody provides this command
	UnknownWorker                 // no worker has this name
	NotFound                      // the thing asked for does not exist
	Conflict                      // a constraint of the database refused the row
	BufferTooSmall                // the answer did not fit; pending holds it
	LimitExceeded                 // a limit was reached; the text names it
	DeadlineExceeded              // the task's or the call's time ran out
	Cancelled                     // the task was cancelled
	Unavailable                   // locked or away at the moment; trying again may help
	ReadOnly                      // the database cannot be written
	Corrupt                       // the database file is damaged or is no database
	Full                          // the disk or the database is full
	Failed                        // the worker or the provider of a command failed; the text says why
	Permanent                     // the worker failed and trying again will not help
	Later                         // the worker asks to be run again later
	Trap                          // the guest trapped; its sandbox is gone
	Interrupted                   // the host went away while the task ran
	InvalidModule                 // the .wasm file cannot be admitted
	Internal                      // a defect of the host

	codeCount
)

var codeNames = [codeCount]string{
	OK:                "ok",
	InvalidArgument:   "invalid_argument",
	NotGranted:        "not_granted",
	UnknownHandle:     "unknown_handle",
	UnknownCollection: "unknown_collection",
	UnknownColumn:     "unknown_column",
	UnknownCommand:    "unknown_command",
	UnknownWorker:     "unknown_worker",
	NotFound:          "not_found",
	Conflict:          "conflict",
	BufferTooSmall:    "buffer_too_small",
	LimitExceeded:     "limit_exceeded",
	DeadlineExceeded:  "deadline_exceeded",
	Cancelled:         "cancelled",
	Unavailable:       "unavailable",
	ReadOnly:          "read_only",
	Corrupt:           "corrupt",
	Full:              "full",
	Failed:            "failed",
	Permanent:         "permanent",
	Later:             "later",
	Trap:              "trap",
	Interrupted:       "interrupted",
	InvalidModule:     "invalid_module",
	Internal:          "internal",
}

// Codes returns every code of this version, in order.
func Codes() []Code {
	all := make([]Code, codeCount)
	for i := range all {
		all[i] = Code(i)
	}
	return all
}

// ParseCode is the inverse of [Code.String].
func ParseCode(name string) (Code, bool) {
	for i, n := range codeNames {
		if n == name {
			return Code(i), true
		}
	}
	return 0, false
}

// String returns the code's name in lower_snake_case, as logs and JSON show it.
func (c Code) String() string {
	if c < codeCount {
		return codeNames[c]
	}
	return "code_" + strconv.FormatUint(uint64(c), 10)
}

// Error makes a Code usable as the target of errors.Is.
func (c Code) Error() string { return c.String() }

// Retryable says whether a task that ended with c may succeed when it is run
// again unchanged.
func (c Code) Retryable() bool {
	switch c {
	case Conflict, BufferTooSmall, LimitExceeded, DeadlineExceeded, Unavailable, ReadOnly, Full,
		Failed, Later, Trap, Interrupted, NotFound, UnknownCommand, Internal:
		return true
	}
	return false
}

// Error is a failure with a code: what a host function, a store, a command or
// a worker returns.
type Error struct {
	Code    Code
	Message string // for people: what failed and where
	cause   error  // what fmt.Errorf made, which leads on to every %w; nil in a literal
}

// Errorf makes an Error. Its verbs are those of fmt.Errorf, %w included.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Message: err.Error(), cause: err}
}

// Error returns "code: message".
func (e *Error) Error() string { return e.Code.String() + ": " + e.Message }

// Unwrap gives errors.Is and errors.As the code and the cause.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.cause}
}

// CodeOf returns the code of err: OK for nil, the code it carries, the one of
// a context's end, or Internal for an error without any.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var code Code
	switch {
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return Cancelled
	}
	return Internal
}

// MessageOf returns the text of err for the other side: without the code in
// front when err is an [Error], since the code travels beside it.
func MessageOf(err error) string {
	var e *Error
	if errors.As(err, &e) && err == error(e) {
		return e.Message
	}
	return err.Error()
}
