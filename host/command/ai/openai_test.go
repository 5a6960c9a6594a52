package ai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wasmhost/wasmhost/abi"
)

// stream writes an answer in pieces, as servers do.
func stream(w http.ResponseWriter, text, finish, usage string) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	fmt.Fprint(w, ": a comment\n\n")
	for piece := range strings.SplitAfterSeq(text, " ") {
		b, _ := json.Marshal(piece)
		fmt.Fprintf(w, "event: message\ndata: {\"model\":\"served-2\",\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\r\n\r\n", b)
		w.(http.Flusher).Flush()
	}
	fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":%q}]}\n\n", finish)
	if usage != "" {
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":%s}\n\n", usage)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

const used = `{"prompt_tokens":1000,"completion_tokens":50,"total_tokens":1050}`

func TestGenerate(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Method != http.MethodPost {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		stream(w, "They eat krill, größtenteils.", "stop", used)
	})
	w := newWorld(t, s.URL, nil)
	c := worker("17", 3)
	got := w.must(w.call(t.Context(), c, abi.CommandGenerate, question(object{
		"context": []any{"Krill is small."}, "max_tokens": int64(5000), "temperature": 0.5, "seed": int64(7),
	})))
	if ms, ok := got["latency_ms"].(int64); !ok || ms < 0 {
		t.Errorf("latency %v", got["latency_ms"])
	}
	delete(got, "latency_ms")
	want := object{
		"text": "They eat krill, größtenteils.", "model": "served-2", "provider": "openai", "finish_reason": "stop", "recalled": false,
		"usage": object{"input_tokens": int64(1000), "output_tokens": int64(50), "total_tokens": int64(1050), "cost_usd": 0.0025},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var sent any
	if err := json.Unmarshal([]byte(s.bodies[0]), &sent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"model": "served", "max_tokens": 100.0, "temperature": 0.5, "seed": 7.0, "stream": true, "stream_options": map[string]any{"include_usage": true},
		"messages": []any{
			map[string]any{"role": "system", "content": "What may help with the answer:\n\nKrill is small."},
			map[string]any{"role": "user", "content": "What do whales eat?"},
		},
	}, sent); diff != "" {
		t.Errorf("what was sent: %s", diff)
	}
	if h := s.heads[0]; h.Get("Authorization") != "Bearer "+key || len(h.Get("Idempotency-Key")) != 32 || strings.Contains(h.Get("Idempotency-Key"), "17") {
		t.Errorf("headers %v", h)
	}
	spent := c.Budget.Spent()
	if spent.Calls != 1 || spent.InputTokens != 1000 || spent.OutputTokens != 50 || spent.CostUSD != 0.0025 || spent.Unpriced != 0 {
		t.Errorf("spent %+v", spent)
	}
	if strings.Contains(w.log.String(), key) {
		t.Error("the key is in the log")
	}
}

// What nobody knows is nil, and not 0.
func TestWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*ModelConfig)
		usage  string
		want   object
	}{
		{"no price", func(m *ModelConfig) { m.Output = nil }, used,
			object{"input_tokens": int64(1000), "output_tokens": int64(50), "total_tokens": int64(1050), "cost_usd": nil}},
		{"no usage", nil, "", object{"input_tokens": nil, "output_tokens": nil, "total_tokens": nil, "cost_usd": nil}},
		{"half of it", nil, `{"prompt_tokens":3}`, object{"input_tokens": int64(3), "output_tokens": nil, "total_tokens": nil, "cost_usd": nil}},
		{"what cannot be", nil, `{"prompt_tokens":-3,"completion_tokens":1000000000000}`, object{"input_tokens": nil, "output_tokens": nil, "total_tokens": nil, "cost_usd": nil}},
		{"a price of nothing", func(m *ModelConfig) { m.Input, m.Output = usd(0), usd(0) }, used,
			object{"input_tokens": int64(1000), "output_tokens": int64(50), "total_tokens": int64(1050), "cost_usd": 0.0}},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { stream(w, "Krill.", "stop", test.usage) })
		w := newWorld(t, s.URL, test.change)
		c := worker("1", 1)
		got := w.must(w.call(t.Context(), c, abi.CommandGenerate, question(nil)))
		if diff := cmp.Diff(test.want, got["usage"]); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if unpriced := test.want["cost_usd"] == nil; (c.Budget.Spent().Unpriced == 1) != unpriced {
			t.Errorf("%s: spent %+v", test.name, c.Budget.Spent())
		}
	}
}

func TestAnswerAsAWhole(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"Krill."},"finish_reason":"length"}],"usage":%s}`, used)
	})
	w := newWorld(t, s.URL, func(m *ModelConfig) { m.Stream, m.Key = false, nil })
	got := w.must(w.call(t.Context(), worker("1", 1), abi.CommandGenerate, question(nil)))
	if got["text"] != "Krill." || got["finish_reason"] != "length" || got["usage"].(object)["total_tokens"] != int64(1050) {
		t.Errorf("got %v", got)
	}
	if strings.Contains(s.bodies[0], "stream_options") || s.heads[0].Get("Authorization") != "" {
		t.Errorf("sent %s with %v", s.bodies[0], s.heads[0])
	}
}

func TestEmbedByServer(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/embeddings" {
			t.Errorf("path %s", r.URL.Path)
		}
		// In another order, and one as base64.
		fmt.Fprint(w, `{"data":[{"index":1,"embedding":[0.5,-2]},{"index":0,"embedding":"AACAPwAAAEA="}],"usage":{"prompt_tokens":7,"total_tokens":7}}`)
	})
	w := newWorld(t, s.URL, nil)
	got := w.must(w.call(t.Context(), worker("1", 1), abi.CommandEmbed, object{"model": "m", "texts": []any{"one", " ", "two"}}))
	want := object{
		"model": "served", "dimension": int64(2), "recalled": false, "usage": object{"input_tokens": int64(7), "cost_usd": 0.000014},
		"vectors": []any{[]byte("\x00\x00\x80\x3f\x00\x00\x00\x40"), nil, []byte("\x00\x00\x00\x3f\x00\x00\x00\xc0")},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := `{"model":"served","input":["one","two"],"encoding_format":"float"}`; s.bodies[0] != want {
		t.Errorf("sent %s", s.bodies[0])
	}
	got = w.must(w.call(t.Context(), worker("1", 2), abi.CommandEmbed, object{"model": "m", "texts": []any{"", " "}}))
	if diff := cmp.Diff([]any{nil, nil}, got["vectors"]); diff != "" || s.asked.Load() != 1 {
		t.Errorf("of nothing: %s, asked %d times", diff, s.asked.Load())
	}
}

// fault is what a server may do wrong.
type fault struct {
	name   string
	answer http.HandlerFunc
	change func(*ModelConfig)
	code   abi.Code
	want   string // in the error
	asked  int64  // how often it was
	kept   bool   // the reservation stays: it may be paid for
}

func status(code int, body string, head ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(head); i += 2 {
			w.Header().Set(head[i], head[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

func events(text string) http.HandlerFunc {
	return status(200, text, "Content-Type", "text/event-stream")
}

// raw answers with bytes that no HTTP server would send, and closes.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, b, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(b, text)
		b.Flush()
		conn.Close()
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// drip sends a byte now and then, for ever.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			fmt.Fprint(w, ":")
			w.(http.Flusher).Flush()
		}
	}
}

// giant never ends, and comes as fast as it is taken.
func giant(head, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", head)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat(body, 1000)); err != nil {
				return
			}
		}
	}
}

// TestServerFaults: whatever a server does, the call ends with an error that has a
// code and a text, without the key and without an address; and the next call is
// answered.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	short := func(m *ModelConfig) { m.Timeout = 50 * time.Millisecond }
	piece := `data: {"choices":[{"index":0,"delta":{"content":"Kr"}}]}` + "\n\n"
	for _, f := range []fault{
		{name: "hangs", answer: hang, change: short, code: abi.Unavailable, want: "did not answer within 50ms", asked: 1, kept: true},
		{name: "drips", answer: drip, change: short, code: abi.Unavailable, want: "did not answer within 50ms", asked: 1, kept: true},
		{name: "is busy", answer: status(429, `{"error":{"message":"slow down"}}`, "Retry-After", "2"), code: abi.Unavailable, want: "busy", asked: 3},
		{name: "is busy for long", answer: status(429, "", "Retry-After", "7200"), code: abi.Unavailable, want: "2h0m0s of rest", asked: 1},
		{name: "is broken", answer: status(500, `{"error":{"message":"cannot `+key+`"}}`), code: abi.Unavailable, want: "the status 500: cannot …", asked: 3},
		{name: "is away for a while", answer: status(503, `<html>`), code: abi.Unavailable, want: "the status 503", asked: 3},
		{name: "refuses the key", answer: status(401, `{"error":{"message":"bad key `+key+`"}}`), code: abi.Unavailable, want: "refuses the key", asked: 1},
		{name: "refuses the question", answer: status(400, `{"error":"too\nlong"}`), code: abi.InvalidArgument, want: "400: too long", asked: 1},
		{name: "has no such path", answer: status(404, ""), code: abi.Failed, want: "404", asked: 1},
		{name: "sends on to another", answer: status(307, "", "Location", "http://192.0.2.1/"), code: abi.Failed, want: "another server", asked: 1},
		{name: "sends on in a circle", answer: status(307, "", "Location", "/v1/x"), code: abi.Failed, want: "in a circle", asked: 4},
		{name: "answers garbage", answer: status(200, "\x00\xff{", "Content-Type", "application/json"), code: abi.Failed, want: "not JSON", asked: 1, kept: true},
		{name: "answers a page", answer: status(200, "<html>", "Content-Type", "text/html"), code: abi.Failed, want: "not JSON", asked: 1, kept: true},
		{name: "answers without an end", answer: status(200, `{"choices":[]}`, "Content-Type", "application/json"), code: abi.Failed, want: "has an end", asked: 1, kept: true},
		{name: "speaks no HTTP", answer: raw("SSH-2.0-x\r\n"), code: abi.Unavailable, want: "cannot be reached, or broke off", asked: 3, kept: true},
		{name: "hangs up", answer: raw(""), code: abi.Unavailable, want: "cannot be reached, or broke off", asked: 3, kept: true},
		{name: "streams half", answer: events(piece), code: abi.Unavailable, want: "in the middle", asked: 1, kept: true},
		{name: "streams half and says done", answer: events(piece + "data: [DONE]\n\n"), code: abi.Unavailable, want: "in the middle", asked: 1, kept: true},
		{name: "streams garbage", answer: events(piece + "data: {\"choices\":7}\n\n"), code: abi.Failed, want: "not JSON", asked: 1, kept: true},
		{name: "streams an error", answer: events(piece + `data: {"error":{"message":"out of memory"}}` + "\n\n"), code: abi.Unavailable, want: "failed in the middle", asked: 1, kept: true},
		{name: "announces more than comes", answer: raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"choices\""), code: abi.Unavailable, want: "in the middle", asked: 1, kept: true},
		{name: "announces less than comes", answer: raw("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"choices\":[]}"), code: abi.Failed, want: "not JSON", asked: 1, kept: true},
		{name: "announces a negative length", answer: raw("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"), code: abi.Unavailable, want: "cannot be reached", asked: 3, kept: true},
		{name: "breaks off a chunk", answer: raw("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\ndata: {"), code: abi.Unavailable, want: "in the middle", asked: 1, kept: true},
		{name: "has giant headers", answer: raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2*maxHeader) + "\r\n\r\n{}"), code: abi.Unavailable, want: "cannot be reached", asked: 3, kept: true},
		{name: "has a giant answer", answer: giant("application/json", "          "), code: abi.LimitExceeded, want: "more than 16777216 bytes", asked: 1, kept: true},
		{name: "has a giant line", answer: giant("text/event-stream", "xxxxxxxxxx"), code: abi.LimitExceeded, want: "a line of more", asked: 1, kept: true},
		{name: "streams without an end", answer: giant("text/event-stream", ":\n"), code: abi.LimitExceeded, want: "more than 16777216 bytes", asked: 1, kept: true},
		{name: "says too much", answer: giant("text/event-stream", piece), code: abi.LimitExceeded, want: "more than 524288 bytes of text", asked: 1, kept: true},
		{name: "there is no key", change: func(m *ModelConfig) {
			m.Key = func() (string, error) { return "", errors.New("the file /etc/key is not there") }
		},
			code: abi.Unavailable, want: "key cannot be read", asked: 0},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			var well atomic.Bool
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if well.Load() {
					stream(w, "Krill.", "stop", used)
					return
				}
				f.answer(w, r)
			})
			w := newWorld(t, s.URL, f.change)
			c := worker("1", 1)
			c.Budget = w.budget(10_000, 0)
			_, err := w.call(t.Context(), c, abi.CommandGenerate, question(nil))
			wantCode(t, err, f.code)
			if err == nil {
				return
			}
			text := err.Error()
			if !strings.Contains(text, f.want) || !strings.Contains(text, "command ai/generate: model m: ") {
				t.Errorf("got %q, want %q", text, f.want)
			}
			if strings.Contains(text, "127.0.0.1") || strings.Contains(text, "/etc") || strings.Contains(text, key) || strings.Contains(w.log.String(), key) {
				t.Errorf("it tells too much: %q\n%s", text, &w.log)
			}
			if got := s.asked.Load(); got != f.asked {
				t.Errorf("asked %d times, want %d", got, f.asked)
			}
			reserved := w.service.models["m"].estimate(19+16, 100).Tokens
			if err := c.Budget.Reserve(budgetOf(10_000)); (err != nil) != f.kept {
				t.Errorf("of the budget %d are taken: %v", reserved, err)
			}
			if f.answer != nil {
				well.Store(true)
				if _, err := w.call(t.Context(), worker("2", 1), abi.CommandGenerate, question(nil)); err != nil && f.change == nil {
					t.Errorf("the next call: %v", err)
				}
			}
		})
	}
}

// A server that is away, and then is there.
func TestAttempts(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) {
		case 1:
			status(429, "", "Retry-After", "3")(w, r)
		case 2:
			status(502, "")(w, r)
		default:
			stream(w, "Krill.", "stop", used)
		}
	})
	w := newWorld(t, s.URL, nil)
	w.must(w.call(t.Context(), worker("1", 1), abi.CommandGenerate, question(nil)))
	if len(w.pauses) != 2 || w.pauses[0] != 3*time.Second || w.pauses[1] < firstWait/2 || w.pauses[1] > 2*firstWait {
		t.Errorf("it waited %v", w.pauses)
	}
	if a, b := s.heads[0].Get("Idempotency-Key"), s.heads[2].Get("Idempotency-Key"); a != b {
		t.Errorf("the attempts are called %s and %s", a, b)
	}
	for i := range 10 {
		if d := backOff(i + 1); d > lastWait || d < firstWait/2 {
			t.Errorf("back-off %d is %v", i+1, d)
		}
	}
	// Nobody waits for what comes too late anyway.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	n.Store(0)
	if _, err := w.call(ctx, worker("2", 1), abi.CommandGenerate, question(nil)); !errors.Is(err, abi.Unavailable) || n.Load() != 1 || ctx.Err() != nil {
		t.Errorf("asked %d times, %v", n.Load(), err)
	}
}

// A task that is cancelled ends its request.
func TestCancel(t *testing.T) {
	t.Parallel()
	came, left := make(chan struct{}), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		close(came)
		<-r.Context().Done()
		close(left)
	})
	w := newWorld(t, s.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := w.call(ctx, worker("1", 1), abi.CommandGenerate, question(nil))
		done <- err
	}()
	<-came
	begun := time.Now()
	cancel()
	err := <-done
	<-left
	wantCode(t, err, abi.Cancelled)
	if took := time.Since(begun); took > 5*time.Second { // 100 ms is the promise; this machine may be busy
		t.Errorf("it took %v", took)
	}
}

func TestVectorFaults(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]struct{ body, want string }{
		"another dimension":    {`{"data":[{"embedding":[1,2,3]},{"embedding":[1,2,3]}]}`, "of 3 dimensions, 2 were expected"},
		"dimensions that vary": {`{"data":[{"embedding":[1,2]},{"embedding":[1]}]}`, "of 1 dimensions, 2 were expected"},
		"too few":              {`{"data":[{"embedding":[1,2]}]}`, "1 vectors for 2 texts"},
		"too many":             {`{"data":[{"embedding":[1]},{"embedding":[1]},{"embedding":[1]}]}`, "3 vectors for 2 texts"},
		"one twice":            {`{"data":[{"index":1,"embedding":[1,2]},{"index":1,"embedding":[1,2]}]}`, "twice"},
		"one from elsewhere":   {`{"data":[{"index":-1,"embedding":[1,2]},{"index":0,"embedding":[1,2]}]}`, "not sent"},
		"no numbers":           {`{"data":[{"embedding":["a"]},{"embedding":[1,2]}]}`, "not a vector"},
		"no finite numbers":    {`{"data":[{"embedding":[1e300,1]},{"embedding":[1,2]}]}`, "finite"},
		"NaN as bytes":         {`{"data":[{"embedding":"AADAfwAAwH8="},{"embedding":[1,2]}]}`, "finite"},
		"half a number":        {`{"data":[{"embedding":"AAAA"},{"embedding":[1,2]}]}`, "not a vector"},
		"none":                 {`{"data":[{},{"embedding":[]}]}`, "a vector"},
		"garbage":              {`[]`, "not JSON"},
	} {
		s := serve(t, status(200, f.body))
		w := newWorld(t, s.URL, func(m *ModelConfig) { m.Dimension = 2 })
		_, err := w.call(t.Context(), worker("1", 1), abi.CommandEmbed, object{"model": "m", "texts": []any{"a", "b"}})
		if !errors.Is(err, abi.Failed) || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: got %v, want %q", name, err, f.want)
		}
	}
	// What no result could hold is not asked for.
	s := serve(t, status(200, "{}"))
	w := newWorld(t, s.URL, func(m *ModelConfig) { m.Dimension = 3072 })
	texts := make([]any, 100)
	for i := range texts {
		texts[i] = "a"
	}
	_, err := w.call(t.Context(), worker("1", 1), abi.CommandEmbed, object{"model": "m", "texts": texts})
	if !errors.Is(err, abi.LimitExceeded) || s.asked.Load() != 0 {
		t.Errorf("asked %d times: %v", s.asked.Load(), err)
	}
}

func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	f.Add("data:{\r\rdata: x\r\n\r\n:c\nid\n\n")
	f.Add("data: {\"usage\":{\"prompt_tokens\":-1},\"error\":null}\ndata: {}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, read := range []func(io.Reader) (*answer, error){readStream, readCompletion} {
			a, err := read(strings.NewReader(text))
			if (a == nil) == (err == nil) {
				t.Fatalf("%v and %v", a, err)
			}
			if err == nil && (a.FinishReason == "" || len(a.FinishReason) > maxReasonBytes || len(a.Model) > maxLabelBytes || a.Input != nil && *a.Input < 0) {
				t.Fatalf("got %+v", a)
			}
		}
	})
}

func FuzzVector(f *testing.F) {
	f.Add("[1,2.5,-3e4]")
	f.Add(`"AACAPwAAAEA="`)
	f.Fuzz(func(t *testing.T, text string) {
		b, err := vectorOf(json.RawMessage(text))
		if err == nil && (len(b) == 0 || len(b)%4 != 0 || len(b) > 4*maxDimension) {
			t.Fatalf("%d bytes", len(b))
		}
	})
}
