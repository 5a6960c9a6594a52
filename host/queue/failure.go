package queue

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/wasmhost/wasmhost/abi"
)

// Failure is how one attempt at a task ended other than well.
type Failure struct {
	Attempt int
	At      time.Time
	Code    abi.Code
	Message string
}

// failureJSON is Failure with the code by name, as everything outside of the
// contract shows codes.
type failureJSON struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
}

// MarshalJSON writes the code by its name.
func (f Failure) MarshalJSON() ([]byte, error) {
	return json.Marshal(failureJSON{f.Attempt, f.At, f.Code.String(), f.Message})
}

// UnmarshalJSON reads what MarshalJSON wrote. A code that this version does not
// know becomes Internal.
func (f *Failure) UnmarshalJSON(b []byte) error {
	var j failureJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	code, ok := abi.ParseCode(j.Code)
	if !ok {
		code = abi.Internal
	}
	*f = Failure{j.Attempt, j.At, code, j.Message}
	return nil
}

// LaterError asks for the task to be run again without using up an attempt.
// Its code is [abi.Later].
type LaterError struct {
	After time.Duration // 0 leaves it to the queue: 10 s
	Err   error         // why; may be nil
}

// Error returns "later: why".
func (e *LaterError) Error() string {
	if e.Err == nil {
		return abi.Later.String()
	}
	return abi.Later.String() + ": " + e.Err.Error()
}

// Unwrap gives errors.Is the code and the reason.
func (e *LaterError) Unwrap() []error {
	if e.Err == nil {
		return []error{abi.Later}
	}
	return []error{abi.Later, e.Err}
}

// maxMessage bounds what one attempt adds to a task's row, in bytes.
const maxMessage = 4096

// attemptError is what River is given for a failed attempt: it keeps the text
// only, so the code goes in front of it.
type attemptError struct {
	code    abi.Code
	message string
}

func (e *attemptError) Error() string { return attemptText(e.code, e.message) }

func attemptText(code abi.Code, message string) string {
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) > maxMessage {
		cut := maxMessage
		for !utf8.RuneStart(message[cut]) {
			cut--
		}
		message = message[:cut] + "…"
	}
	return code.String() + ": " + message
}

// parseFailure is the inverse of attemptText for what River wrote, its own
// texts included.
func parseFailure(e rivertype.AttemptError) Failure {
	f := Failure{Attempt: e.Attempt, At: e.At, Code: abi.Internal, Message: e.Error}
	if e.Trace != "" { // a panic: its value may look like anything
		f.Message = "panic: " + e.Error
		return f
	}
	if e.Error == river.ErrJobCancelledRemotely.Error() {
		f.Code, f.Message = abi.Cancelled, "the task was cancelled while it ran"
		return f
	}
	if name, message, ok := strings.Cut(e.Error, ": "); ok {
		if code, ok := abi.ParseCode(name); ok {
			f.Code, f.Message = code, message
		}
	}
	return f
}

// SQLite's primary result codes, https://sqlite.org/rescode.html.
const (
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
	sqliteIOErr      = 10
	sqliteCorrupt    = 11
	sqliteFull       = 13
	sqliteCantOpen   = 14
	sqliteConstraint = 19
	sqliteNotADB     = 26
)

// sqliteCode returns the primary result code in err, 0 if there is none.
func sqliteCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code() & 0xff
	}
	return 0
}

// dbError gives a database's failure its code.
func dbError(doing string, err error) error {
	code := abi.CodeOf(err)
	switch sqliteCode(err) {
	case sqliteBusy, sqliteLocked, sqliteIOErr, sqliteCantOpen:
		code = abi.Unavailable
	case sqliteReadOnly:
		code = abi.ReadOnly
	case sqliteCorrupt, sqliteNotADB:
		code = abi.Corrupt
	case sqliteFull:
		code = abi.Full
	case sqliteConstraint:
		code = abi.Conflict
	}
	return abi.Errorf(code, "queue: %s: %w", doing, err)
}

// raced says whether err can come from another process that migrates the same
// database: what we were about to make exists, or a row of ours does.
func raced(err error) bool {
	switch sqliteCode(err) {
	case sqliteBusy, sqliteLocked, sqliteConstraint, 1: // 1: the generic code, "table … already exists"
		return true
	}
	return false
}

// clip keeps a caller's text from flooding an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
	}
	return s
}
