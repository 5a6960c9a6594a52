package sdk

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// Logger writes lines to the host's log, which adds worker, task and time and
// bounds their length and number.
//
// Each method takes a text and then keys and values in turn:
//
//	t.Log.Info("page moved", "rows", n, "last", id)
type Logger struct {
	host Host
	buf  []byte
}

// Debug logs what only the worker's author wants to see.
func (l *Logger) Debug(text string, pairs ...any) { l.log(abi.Debug, text, pairs) }

// Info logs what an operator may want to know.
func (l *Logger) Info(text string, pairs ...any) { l.log(abi.Info, text, pairs) }

// Warn logs what an operator should look at some time.
func (l *Logger) Warn(text string, pairs ...any) { l.log(abi.Warn, text, pairs) }

// Error logs a failure that the worker does not return.
func (l *Logger) Error(text string, pairs ...any) { l.log(abi.Severe, text, pairs) }

func (l *Logger) log(level abi.Level, text string, pairs []any) {
	b := append(l.buf[:0], text...)
	for i, v := range pairs {
		if i%2 == 0 {
			b = append(b, ' ')
			b = append(b, fmt.Sprint(v)...)
			continue
		}
		b = append(b, '=')
		b = appendValue(b, v)
	}
	l.buf = b
	l.host.Log(level, b)
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		return appendText(b, v)
	}
	return appendText(b, fmt.Sprint(v))
}

// appendText quotes what would otherwise not be seen as one value.
func appendText(b []byte, s string) []byte {
	if s == "" || strings.ContainsAny(s, " =\"\n\r\t") {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}
