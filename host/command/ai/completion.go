package ai

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
)

// tokens is what a server says that it used.
type tokens struct {
	Prompt     *int64 `json:"prompt_tokens"`
	Completion *int64 `json:"completion_tokens"`
}

// counts returns what can be: a server may say anything.
func (t *tokens) counts() (input, output *int64) {
	const most = 1e9
	if t == nil {
		return nil, nil
	}
	if t.Prompt != nil && *t.Prompt >= 0 && *t.Prompt <= most {
		input = t.Prompt
	}
	if t.Completion != nil && *t.Completion >= 0 && *t.Completion <= most {
		output = t.Completion
	}
	return input, output
}

// chunk is a piece of an answer, or the whole of one.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Index   int     `json:"index"`
		Delta   content `json:"delta"`   // of a piece
		Message content `json:"message"` // of the whole
		Finish  string  `json:"finish_reason"`
	} `json:"choices"`
	Usage *tokens         `json:"usage"`
	Error json.RawMessage `json:"error"`
}

type content struct {
	Content string `json:"content"`
}

// collector puts an answer together.
type collector struct {
	answer
	text strings.Builder
}

// add puts a piece behind what there is, and says what is wrong with it.
func (a *collector) add(b []byte) error {
	var c chunk
	if err := json.Unmarshal(b, &c); err != nil {
		return garbage("JSON")
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		text := serverText(b, "")
		return &failure{code: abi.Unavailable, text: "its server failed in the middle of its answer", cause: errors.New(text), begun: true}
	}
	if c.Model != "" {
		a.Model = clean(c.Model, maxLabelBytes)
	}
	if c.Usage != nil {
		a.Input, a.Output = c.Usage.counts()
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue // nobody asked for another
		}
		a.text.WriteString(choice.Delta.Content)
		a.text.WriteString(choice.Message.Content)
		if choice.Finish != "" {
			a.FinishReason = clean(choice.Finish, maxReasonBytes)
		}
	}
	if a.text.Len() > maxAnswerBytes {
		return &failure{code: abi.LimitExceeded, text: fmt.Sprintf("it answered more than %d bytes of text", maxAnswerBytes), begun: true}
	}
	return nil
}

// readCompletion reads an answer that comes as a whole.
func readCompletion(r io.Reader) (*answer, error) {
	b, err := readAll(r, maxCompletion)
	if err != nil {
		return nil, err
	}
	a := new(collector)
	if err := a.add(b); err != nil {
		return nil, err
	}
	if a.FinishReason == "" {
		return nil, garbage("an answer that has an end")
	}
	return a.ended()
}

// readStream reads an answer that comes as server-sent events, to its end:
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func readStream(r io.Reader) (*answer, error) {
	const (
		data = "data:"
		done = "[DONE]"
	)
	a := new(collector)
	limited := &io.LimitedReader{R: r, N: maxCompletion}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, 1<<20)
	lines.Split(scanLines)
	var event []byte
	for lines.Scan() {
		line := lines.Bytes()
		if rest, ok := bytes.CutPrefix(line, []byte(data)); ok {
			if len(event) > 0 {
				event = append(event, '\n')
			}
			event = append(event, bytes.TrimPrefix(rest, []byte(" "))...)
			continue
		}
		if len(line) > 0 || len(event) == 0 {
			continue // a comment, or a field that nobody needs
		}
		if string(bytes.TrimSpace(event)) == done {
			return a.ended()
		}
		if err := a.add(event); err != nil {
			return nil, err
		}
		event = event[:0]
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong) || limited.N <= 0:
		return nil, &failure{code: abi.LimitExceeded, text: fmt.Sprintf("it answered more than %d bytes, or a line of more than 1 MiB", maxCompletion), begun: true}
	case err != nil:
		return nil, err
	}
	return a.ended() // some servers end without a word
}

// ended returns an answer whose end was told.
func (a *collector) ended() (*answer, error) {
	if a.FinishReason == "" {
		return nil, &failure{code: abi.Unavailable, text: "its server broke off in the middle of its answer", begun: true}
	}
	a.Text = a.text.String()
	return &a.answer, nil
}

// scanLines is bufio.ScanLines for lines that end in \n, \r\n or \r, of which
// the last need not.
func scanLines(b []byte, atEOF bool) (advance int, line []byte, err error) {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0 && atEOF && len(b) > 0:
		return len(b), b, nil
	case i < 0:
		return 0, nil, nil
	case b[i] == '\n':
		return i + 1, b[:i], nil
	case i+1 < len(b):
		if b[i+1] == '\n' {
			return i + 2, b[:i], nil
		}
		return i + 1, b[:i], nil
	case atEOF:
		return i + 1, b[:i], nil
	}
	return 0, nil, nil // whether \n follows \r is not known yet
}
