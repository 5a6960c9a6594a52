package abi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/wasmhost/wasmhost/abi"
)

// The numbers are in compiled guests and in queues on disk: a line of the
// golden list may be appended, never changed, moved or removed.
func TestCodesAreOnlyAppended(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/codes.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listed := 0
	for lines := bufio.NewScanner(f); lines.Scan(); listed++ {
		number, name, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseUint(number, 10, 32)
		if err != nil || n != uint64(listed) {
			t.Fatalf("testdata/codes.txt line %d: %q: the numbers must count up from 0", listed+1, lines.Text())
		}
		if got := abi.Code(n).String(); got != name {
			t.Errorf("code %d is %q, but guests know it as %q: codes are only ever appended", n, got, name)
		}
	}
	if all := abi.Codes(); len(all) != listed {
		t.Errorf("there are %d codes and testdata/codes.txt lists %d: append the new ones there", len(all), listed)
	}
}

func TestCodesAndNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for i, code := range abi.Codes() {
		name := code.String()
		if int(code) != i || name == "" || seen[name] {
			t.Errorf("code %d at place %d: name %q is empty or taken", code, i, name)
		}
		seen[name] = true
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("code %d: name %q is not lower_snake_case", code, name)
		}
		if got, ok := abi.ParseCode(name); !ok || got != code {
			t.Errorf("ParseCode(%q) = %v, %v; want %v", name, got, ok, code)
		}
	}
	for _, name := range []string{"", "OK", "code_99", "unknown"} {
		if got, ok := abi.ParseCode(name); ok {
			t.Errorf("ParseCode(%q) = %v, want none", name, got)
		}
	}
	// A newer peer's code is shown by its number.
	if got := abi.Code(4_000_000_000).String(); got != "code_4000000000" {
		t.Errorf("an unknown code reads %q", got)
	}
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	want := map[abi.Code]bool{
		abi.OK: false, abi.InvalidArgument: false, abi.NotGranted: false,
		abi.UnknownHandle: false, abi.UnknownCollection: false, abi.UnknownColumn: false,
		abi.UnknownCommand: true, // its provider may not be up yet
		abi.UnknownWorker:  false,
		abi.NotFound:       true, abi.Conflict: true, abi.BufferTooSmall: true, abi.LimitExceeded: true,
		abi.DeadlineExceeded: true,
		abi.Cancelled:        false, // somebody wanted it to end
		abi.Unavailable:      true, abi.ReadOnly: true,
		abi.Corrupt: false,
		abi.Full:    true, abi.Failed: true,
		abi.Permanent: false,
		abi.Later:     true, abi.Trap: true, abi.Interrupted: true,
		abi.InvalidModule: false,
		abi.Internal:      true,
	}
	for _, code := range abi.Codes() {
		w, ok := want[code]
		if !ok {
			t.Errorf("%v: decide here whether a task that ended with it is run again", code)
		}
		if got := code.Retryable(); got != w {
			t.Errorf("%v.Retryable() = %v, want %v", code, got, w)
		}
	}
	if abi.Code(4000).Retryable() {
		t.Error("an unknown code is retried")
	}
}

func TestErrorIsFoundUnderWrapping(t *testing.T) {
	t.Parallel()
	e := abi.Errorf(abi.UnknownColumn, "chat_messages: no column %q", "tyop")
	if got, want := e.Error(), `unknown_column: chat_messages: no column "tyop"`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	wrapped := fmt.Errorf("listing rows: %w", fmt.Errorf("primary: %w", e))
	if !errors.Is(wrapped, abi.UnknownColumn) || errors.Is(wrapped, abi.UnknownHandle) {
		t.Error("errors.Is must find the code under wrapping, and only that code")
	}
	var got *abi.Error
	if !errors.As(wrapped, &got) || got != e {
		t.Error("errors.As must find the *abi.Error under wrapping")
	}
	if joined := errors.Join(io.EOF, wrapped); abi.CodeOf(joined) != abi.UnknownColumn {
		t.Errorf("CodeOf(joined) = %v", abi.CodeOf(joined))
	}
	// A code by itself is an error too, and so is a literal without a cause.
	if !errors.Is(fmt.Errorf("x: %w", abi.Later), abi.Later) || !errors.Is(&abi.Error{Code: abi.Full}, abi.Full) {
		t.Error("errors.Is must find a bare code and that of a literal")
	}
}

func TestErrorfKeepsEveryCause(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]*abi.Error{
		"one":     abi.Errorf(abi.Unavailable, "opening: %w", fs.ErrPermission),
		"two":     abi.Errorf(abi.Unavailable, "opening: %w, then closing: %w", io.EOF, fs.ErrPermission),
		"own":     abi.Errorf(abi.Unavailable, "opening: %w", abi.Errorf(abi.Corrupt, "page 3: %w", fs.ErrPermission)),
		"wrapped": abi.Errorf(abi.Unavailable, "opening: %w", fmt.Errorf("again: %w", fs.ErrPermission)),
	} {
		if !errors.Is(e, fs.ErrPermission) {
			t.Errorf("%s: the cause is lost", name)
		}
		if got := abi.CodeOf(e); got != abi.Unavailable {
			t.Errorf("%s: CodeOf = %v: the outer code counts", name, got)
		}
	}
}

func TestCodeOfAndMessageOf(t *testing.T) {
	t.Parallel()
	own := abi.Errorf(abi.Conflict, "row 3 exists")
	for _, test := range []struct {
		err     error
		code    abi.Code
		message string
	}{
		{own, abi.Conflict, "row 3 exists"},
		{fmt.Errorf("writing: %w", own), abi.Conflict, "writing: conflict: row 3 exists"},
		{abi.Later, abi.Later, "later"},
		{context.DeadlineExceeded, abi.DeadlineExceeded, "context deadline exceeded"},
		{fmt.Errorf("reading: %w", context.Canceled), abi.Cancelled, "reading: context canceled"},
		{abi.Errorf(abi.Unavailable, "away: %w", context.DeadlineExceeded), abi.Unavailable, "away: context deadline exceeded"},
		{io.ErrUnexpectedEOF, abi.Internal, "unexpected EOF"},
	} {
		if got := abi.CodeOf(test.err); got != test.code {
			t.Errorf("CodeOf(%v) = %v, want %v", test.err, got, test.code)
		}
		if got := abi.MessageOf(test.err); got != test.message {
			t.Errorf("MessageOf(%v) = %q, want %q", test.err, got, test.message)
		}
	}
	if got := abi.CodeOf(nil); got != abi.OK {
		t.Errorf("CodeOf(nil) = %v", got)
	}
}
