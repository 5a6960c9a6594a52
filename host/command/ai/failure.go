package ai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

const (
	firstWait = 500 * time.Millisecond
	lastWait  = 15 * time.Second
	maxWait   = time.Minute // that a server may ask for; who wants more is not waited for

	maxServerText = 300 // bytes of what a server says, for a caller
)

// failure is why a server gave no answer.
type failure struct {
	code  abi.Code
	text  string // for the caller: no address, no key
	cause error  // for the host's log
	again bool   // another request may do
	after time.Duration
	begun bool // the server may have worked, and be paid for it
}

func (f *failure) Error() string { return f.text }

// Unwrap gives abi.CodeOf the code.
func (f *failure) Unwrap() error { return f.code }

// begun says whether what failed may be paid for all the same.
func begun(err error) bool {
	var f *failure
	return !errors.As(err, &f) || f.begun
}

// detail is an error for the host's log.
func detail(err error) string {
	var f *failure
	if errors.As(err, &f) && f.cause != nil {
		return f.text + ": " + f.cause.Error()
	}
	return err.Error()
}

// answered is a failure of a server that answered what cannot be.
func answered(format string, args ...any) error {
	return &failure{code: abi.Failed, text: fmt.Sprintf(format, args...), begun: true}
}

func garbage(what string) error { return answered("what it answered is not %s", what) }

// dialing says whether a request failed before anything was sent.
func dialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// refusal is what a status other than 200 means. secret is the key, which some
// servers repeat in part or as a whole.
func (o *openAI) refusal(r *http.Response, secret string) error {
	b, _ := io.ReadAll(io.LimitReader(r.Body, maxProblem)) // what there is of it
	f := &failure{text: fmt.Sprintf("its server answered with the status %d", r.StatusCode)}
	switch code := r.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		f.code, f.text = abi.Unavailable, "its server refuses the key, or there is none"
		return f // what it says may have the key in it
	case code == http.StatusTooManyRequests:
		f.code, f.again, f.after = abi.Unavailable, true, retryAfter(r.Header.Get("Retry-After"), time.Now())
		f.text = "its server is busy, or its quota is used up"
		if f.after > 0 {
			f.text += fmt.Sprintf(" (it wants %v of rest)", f.after)
		}
	case code == http.StatusRequestTimeout || code >= 500:
		f.code, f.again, f.after = abi.Unavailable, true, retryAfter(r.Header.Get("Retry-After"), time.Now())
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge || code == http.StatusUnprocessableEntity:
		f.code = abi.InvalidArgument
	default:
		f.code = abi.Failed
	}
	if text := serverText(b, secret); text != "" {
		f.text += ": " + text
	}
	return f
}

// serverText is what a server says of a failure, without control characters and
// without the key.
func serverText(b []byte, secret string) string {
	var reply struct {
		Error json.RawMessage `json:"error"`
	}
	var text string
	if json.Unmarshal(b, &reply) != nil || json.Unmarshal(reply.Error, &text) != nil {
		var object struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(reply.Error, &object) != nil {
			return ""
		}
		text = object.Message
	}
	return clean(strings.ReplaceAll(text, secretOr(secret), "…"), maxServerText)
}

// secretOr is what is never in a text for no secret, which ReplaceAll would find
// everywhere.
func secretOr(secret string) string {
	if secret == "" {
		return "\xff\xff"
	}
	return secret
}

// clean makes a server's text one line of bounded length.
func clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return strings.TrimSpace(s)
}

// retryAfter reads a header in either of its forms; 0 for none.
func retryAfter(h string, now time.Time) time.Duration {
	if n, err := strconv.ParseInt(h, 10, 32); err == nil && n > 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(h); err == nil && at.After(now) {
		return at.Sub(now).Round(time.Second)
	}
	return 0
}

// backOff is how long to wait after so many attempts: about twice as long each
// time, and not all at once.
func backOff(attempts int) time.Duration {
	d := min(firstWait<<(attempts-1), lastWait)
	return d/2 + rand.N(d/2+1)
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
