package engine

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/wasmhost/wasmhost/abi"
)

// output turns what a guest prints into log lines. A line without an end is
// kept until it ends, is too long, or the task is over.
type output struct {
	sandbox *Sandbox
	level   abi.Level
	line    []byte
}

// atOnce is how many bytes the guest has the host work through between two
// looks at its deadline. One call can bring terabytes: each of its vectors may
// be the guest's whole memory.
const atOnce = 64 << 10

// Write never fails: a guest that prints too much is cut short, and stopped only
// with its task.
func (o *output) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		o.sandbox.stopIfOver()
		part := p[:min(len(p), atOnce)]
		o.print(part)
		p = p[len(part):]
	}
	return n, nil
}

func (o *output) print(p []byte) {
	most := o.sandbox.module.limits.LogLineBytes
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if room := most - len(o.line); room > 0 {
			o.line = append(o.line, part[:min(len(part), room)]...)
		}
		if end < 0 {
			break
		}
		o.flush()
		p = p[end+1:]
	}
}

func (o *output) flush() {
	if len(o.line) > 0 {
		if o.level == abi.Warn && (bytes.HasPrefix(o.line, []byte("panic: ")) || bytes.HasPrefix(o.line, []byte("fatal error: "))) {
			o.sandbox.task.panicked = printable(o.line, 1024)
		}
		o.sandbox.logLine(o.level, o.line)
		o.line = o.line[:0]
	}
}

// logLine hands one line to the task's log, or to the engine's when no task
// runs. Lines over the task's limit are counted and dropped.
func (s *Sandbox) logLine(level abi.Level, line []byte) {
	if s.task.logLines++; s.task.logLines > s.module.limits.LogLines {
		return
	}
	text := printable(line, s.module.limits.LogLineBytes)
	if s.task.env == nil {
		s.module.engine.cfg.Logger.Info(text, "module", s.module.name)
		return
	}
	s.task.env.Log(s.task.ctx, min(level, abi.Severe), text)
}

// sayDropped says once, at the end of a task, how many lines were dropped.
func (s *Sandbox) sayDropped(ctx context.Context) {
	if over := s.task.logLines - s.module.limits.LogLines; over > 0 && s.task.env != nil {
		s.task.env.Log(ctx, abi.Warn, "log lines dropped over the limit: "+strconv.Itoa(over))
	}
}

// maxText is how many bytes of a text of the guest's making go into an error:
// it is kept with the task, logged, and shown in terminals.
const maxText = 4096

// readable makes a guest's text safe for a terminal: valid UTF-8, no control
// characters but the ends of lines, at most n bytes.
func readable(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r < 0x20 || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// printable is readable on one line.
func printable(b []byte, n int) string {
	return strings.ReplaceAll(readable(string(b[:min(len(b), n+1)]), n), "\n", "?")
}
