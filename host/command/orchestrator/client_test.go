package orchestrator

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		params any
		want   string // params as sent, or a part of the error
		code   abi.Code
	}{
		{"data/list", object{}, `{}`, abi.OK},
		{"data/list", object(nil), `{}`, abi.OK},
		{"data/list", object{"b": []any{}, "a": []any{nil, true, int64(-5), 1.5, 2.0, 1e21}}, `{"a":[null,true,-5,1.5,2,1e+21],"b":[]}`, abi.OK},
		{"data/list", object{"big": int64(math.MaxInt64), "bytes": []byte{0, 1, 0xff}}, `{"big":9223372036854775807,"bytes":"AAH/"}`, abi.OK},
		{"data/list", object{"é\n": "ü€😀\"\\\x00\x7f<>\u2028"}, `{"\u00e9\u000a":"\u00fc\u20ac\ud83d\ude00\"\\\u0000` + "\x7f" + `<>\u2028"}`, abi.OK},
		{"ä\n", object{}, `{}`, abi.OK},
		{"data/list", object{"a": "\xff"}, "not UTF-8", abi.InvalidArgument},
		{"data/\xff", object{}, "not UTF-8", abi.InvalidArgument},
		{"data/list", object{"a": math.NaN()}, "cannot be written as JSON", abi.InvalidArgument},
		{"data/list", object{"a": nested(40)}, "deeper than 32", abi.InvalidArgument},
		{"data/list", object{"a": strings.Repeat("x", 1000)}, "larger than 500 bytes", abi.LimitExceeded},
		{"data/list", object{"a": strings.Repeat("ü", 200)}, "larger than 500 bytes", abi.LimitExceeded},
		{"data/list", object{"a": make([]byte, 490)}, "larger than 500 bytes", abi.LimitExceeded},
		{"data/list", object{"a": 5}, "a value of type int", abi.Internal},
	} {
		got, err := request(c.name, c.params.(object), 500)
		if abi.CodeOf(err) != c.code {
			t.Errorf("%v: got error %v, want %v", c.params, err, c.code)
			continue
		}
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it to say %q", err, c.want)
			}
			continue
		}
		name := strings.NewReplacer("ä", `\u00e4`, "\n", `\u000a`).Replace(c.name)
		if want := `{"command":"` + name + `","params":` + c.want + "}\n"; string(got) != want {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

func nested(depth int) any {
	var v any = []any{}
	for range depth - 1 {
		v = []any{v}
	}
	return v
}

func TestReply(t *testing.T) {
	t.Parallel()
	params := object{"collection": "c", "limit": int64(5), "ratio": 2.0, "bytes": []byte("ab"), "deep": object{"a": int64(1)}}
	long := strings.Repeat("ü", maxErrorText)
	for _, c := range []struct {
		reply  string
		want   any
		code   abi.Code
		text   string // in the error
		broken bool   // the connection is not used again
	}{
		{reply: `{"success":true}`},
		{reply: `{"success":true,"result":null}`},
		{reply: `{"success":true,"result":[1,2.5,-9223372036854775808,9223372036854775808,1e3,"ü😀",null]}`,
			want: []any{int64(1), 2.5, int64(math.MinInt64), 9223372036854775808.0, 1000.0, "ü😀", nil}},
		{reply: `{"success":true,"result":{"success":true,"items":[{"n":1}],"count":1}}` + "\r",
			want: object{"success": true, "items": []any{object{"n": int64(1)}}, "count": int64(1)}},
		{reply: `{"success":true,"result":{"context":{"a":1},"sessionId":"s","collection":"c","limit":5,"ratio":2,"bytes":"YWI=","deep":{"a":1},"n":1}}`,
			want: object{"n": int64(1)}},
		{reply: `{"success":true,"result":{"collection":"d","limit":5.5,"deep":{"a":2}}}`,
			want: object{"collection": "d", "limit": 5.5, "deep": object{"a": int64(2)}}},
		{reply: `{"success":true,"result":[{"context":1,"collection":"c"}]}`, want: []any{object{"context": int64(1), "collection": "c"}}},
		{reply: `{"success":false,"error":"no table ü"}`, code: abi.Failed, text: "failed: the orchestrator: no table ü"},
		{reply: `{"success":true,"result":{"success":false,"error":"inner"}}`, code: abi.Failed, text: "the orchestrator: inner"},
		{reply: `{"success":false,"error":{"message":"in an object"}}`, code: abi.Failed, text: "in an object"},
		{reply: `{"success":false,"message":"elsewhere"}`, code: abi.Failed, text: "elsewhere"},
		{reply: `{"success":false,"error":7}`, code: abi.Failed, text: "no reason was given"},
		{reply: `{"success":false,"error":"` + long + `"}`, code: abi.Failed, text: strings.Repeat("ü", maxErrorText/2) + "…"},
		{reply: `{"success":false,"error":"Command 'data/list' not found in server context"}`, code: abi.UnknownCommand, text: "Command 'data/list' not found"},
		{reply: `{"success":true,"result":{"success":false,"error":"unknown command: data/list"}}`, code: abi.UnknownCommand},
		{reply: `{"success":false,"error":"Command 'data/read' not found"}`, code: abi.Failed}, // one that it called itself
		{reply: `{"success":false,"error":"row not found"}`, code: abi.Failed},
		{reply: `{"success":true,"result":` + deep(32) + `}`, want: nested(32)},
		{reply: `{"success":true,"result":` + deep(33) + `}`, code: abi.LimitExceeded, text: "nested deeper than 33"},
		{reply: `{"success":true,"result":[` + strings.Repeat("0,", maxValues) + `0]}`, code: abi.LimitExceeded, text: "more than 100000 values"},
		{reply: `{"success":true,"result":["` + strings.Repeat(`[{,:\"`, maxValues) + `"]}`, want: []any{strings.Repeat(`[{,:"`, maxValues)}},
		{reply: ``, code: abi.Failed, text: "not JSON", broken: true},
		{reply: `{"success":true`, code: abi.Failed, text: "not JSON", broken: true},
		{reply: `{"success":true}{"success":true}`, code: abi.Failed, text: "not JSON at byte 16", broken: true},
		{reply: `{"success":true,"result":1e999}`, code: abi.Failed, text: "too large: 1e999", broken: true},
		{reply: `null`, code: abi.Failed, text: "without success", broken: true},
		{reply: `[true]`, code: abi.Failed, text: "without success", broken: true},
		{reply: `{"result":1}`, code: abi.Failed, text: "without success", broken: true},
		{reply: `{"Success":true}`, code: abi.Failed, text: "without success", broken: true},
		{reply: `{"success":"true"}`, code: abi.Failed, text: "without success", broken: true},
	} {
		client := newClient(t, Config{Socket: "unused"})
		got, broken, err := client.read([]byte(c.reply), "data/list", params)
		if abi.CodeOf(err) != c.code || broken != c.broken || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%.80s: got %v, broken %t", c.reply, err, broken)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.80s: got %v, want %v", c.reply, got, c.want)
		}
	}
}

func deep(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestUnknownCommandIsConfigured(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]abi.Code{"kein Befehl DATA/LIST!": abi.UnknownCommand, "Unknown command: data/list": abi.Failed} {
		c := newClient(t, Config{Socket: "unused", UnknownCommand: []string{"kein Befehl {command}"}})
		wantCode(t, c.failure(object{"error": text}, "data/list"), want)
	}
}

// Replies carry no id: a connection has one request at a time, and there are as
// many connections as were configured.
func TestOneRequestPerConnection(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	var now, most atomic.Int64
	var full sync.WaitGroup
	full.Add(3)
	var busy sync.Map
	s := serve(t, socket, func(c net.Conn, line string) {
		if _, twice := busy.LoadOrStore(c, true); !twice {
			full.Done() // the first request of this connection
			full.Wait() // which is answered when all are in use
		}
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		now.Add(-1)
		i := strings.LastIndex(line, `"n":`)
		fmt.Fprintf(c, `{"success":true,"result":{"got":%s`+"\n", strings.TrimSuffix(line[i+4:], "}}\n")+"}}")
	})
	c := newClient(t, Config{Socket: socket, Connections: 3})
	var calls sync.WaitGroup
	for i := range int64(100) {
		calls.Go(func() {
			got, err := c.Call(t.Context(), "x", object{"n": i})
			if err != nil || !reflect.DeepEqual(got, object{"got": i}) {
				t.Errorf("call %d got %v, %v", i, got, err)
			}
		})
	}
	calls.Wait()
	if n := s.connections(); n != 3 || most.Load() > 3 {
		t.Errorf("%d connections, %d requests at a time; want 3", n, most.Load())
	}
	if st := c.Stats(); st != (Stats{Calls: 100}) {
		t.Errorf("stats %+v", st)
	}
}

// A reply that comes too late must not answer the next request.
func TestLateReply(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		cancel  bool
		want    abi.Code
	}{
		"our time-out":         {50 * time.Millisecond, false, abi.DeadlineExceeded},
		"the caller's end":     {time.Minute, true, abi.Cancelled},
		"the caller's timeout": {time.Minute, false, abi.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := newSocket(t)
			asked, release := make(chan struct{}), make(chan struct{})
			var first atomic.Bool
			serve(t, socket, func(conn net.Conn, _ string) {
				if first.CompareAndSwap(false, true) {
					close(asked)
					<-release
					_, _ = conn.Write([]byte(`{"success":true,"result":"late"}` + "\n"))
					return
				}
				_, _ = conn.Write([]byte(`{"success":true,"result":"mine"}` + "\n"))
			})
			client := newClient(t, Config{Socket: socket, Timeout: c.timeout, Connections: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if name == "the caller's timeout" {
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			if c.cancel {
				go func() {
					<-asked
					cancel()
				}()
			}
			_, err := client.Call(ctx, "x", nil)
			wantCode(t, err, c.want)
			close(release)
			client.cfg.Timeout = 10 * time.Second
			got, err := client.Call(t.Context(), "x", nil)
			if got != "mine" || err != nil {
				t.Errorf("the next call got %v, %v", got, err)
			}
			want := Stats{Calls: 2, Failures: 1, Reconnects: 1}
			if c.want == abi.DeadlineExceeded {
				want.Timeouts = 1
			}
			if got := client.Stats(); got != want {
				t.Errorf("stats %+v, want %+v", got, want)
			}
		})
	}
}

// While all connections are in use, a call waits for as long as it may.
func TestWaitingForAConnection(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	release := make(chan struct{})
	asked := make(chan struct{}, 1)
	serve(t, socket, func(c net.Conn, _ string) {
		asked <- struct{}{}
		<-release
		_, _ = c.Write([]byte(fine))
	})
	c := newClient(t, Config{Socket: socket, Connections: 1})
	done := make(chan error)
	go func() {
		_, err := c.Call(t.Context(), "x", nil)
		done <- err
	}()
	await(t, asked, "the first request")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Call(ctx, "x", nil)
	wantCode(t, err, abi.Cancelled)
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = c.Call(ctx, "x", nil)
	wantCode(t, err, abi.DeadlineExceeded)
	close(release)
	if err := await(t, done, "the first reply"); err != nil {
		t.Error(err)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	const most = 20_000 // more than a reader buffers
	size := most
	serve(t, socket, func(c net.Conn, _ string) {
		text := `{"success":true,"result":"`
		_, _ = c.Write([]byte(text + strings.Repeat("x", size-len(text)-2) + `"}` + "\n"))
	})
	c := newClient(t, Config{Socket: socket, MaxMessageBytes: most})
	for _, n := range []int{100, 4096, 4097, most} {
		size = n
		got, err := c.Call(t.Context(), "x", nil)
		if err != nil || len(got.(string)) != n-28 {
			t.Errorf("a reply of %d bytes: %v", n, err)
		}
	}
	if st := c.Stats(); st.Reconnects != 0 {
		t.Errorf("stats %+v", st)
	}
	for _, n := range []int{most + 1, 10 * most} {
		size = n
		_, err := c.Call(t.Context(), "x", nil)
		wantCode(t, err, abi.LimitExceeded)
	}
	_, err := c.Call(t.Context(), "x", object{"a": strings.Repeat("x", most)})
	wantCode(t, err, abi.LimitExceeded)
	size = 100
	if _, err := c.Call(t.Context(), "x", nil); err != nil {
		t.Error(err)
	}
}

func TestOrchestratorAway(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	var log bytes.Buffer
	c := newClient(t, Config{Socket: socket, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	_, err := c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
	c.patience()
	_, err = c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
	if err != nil && strings.Contains(err.Error(), socket) {
		t.Errorf("the error shows the host's path: %v", err)
	}
	// It is there again, but not yet asked.
	c.mu.Lock()
	c.next = time.Now().Add(time.Hour)
	c.mu.Unlock()
	s := serve(t, socket, reply(fine))
	_, err = c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
	if n := s.connections(); n != 0 {
		t.Errorf("%d connections while waiting", n)
	}
	c.patience()
	for range 2 {
		if got, err := c.Call(t.Context(), "x", nil); err != nil || !reflect.DeepEqual(got, object{"ok": true}) {
			t.Errorf("got %v, %v", got, err)
		}
	}
	if got, want := c.Stats(), (Stats{Calls: 5, Failures: 3, Reconnects: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	// The next time it is away it is told again, and waited for as at first.
	s.stop()
	_, err = c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
	if n := strings.Count(log.String(), "the orchestrator is away"); n != 2 || c.wait != firstWait {
		t.Errorf("told %d times, waits %v:\n%s", n, c.wait, &log)
	}
	c.Close()
	_, err = c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
}

func TestBackoffGrows(t *testing.T) {
	t.Parallel()
	c := newClient(t, Config{Socket: newSocket(t)})
	for want := firstWait; want < 2*lastWait; want *= 2 {
		c.patience()
		began := time.Now()
		_, err := c.Call(t.Context(), "x", nil)
		wantCode(t, err, abi.Unavailable)
		if got := c.next.Sub(began); c.wait != min(want, lastWait) || got < c.wait/2 {
			t.Errorf("waits %v of %v, want %v", got, c.wait, want)
		}
	}
}

// Whoever accepts and closes for ever is not asked all the time.
func TestConnectionThatAnswersNothing(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	s := serve(t, socket, func(c net.Conn, _ string) { c.Close() })
	c := newClient(t, Config{Socket: socket})
	for range 5 {
		_, err := c.Call(t.Context(), "x", nil)
		wantCode(t, err, abi.Unavailable)
	}
	if c.away() <= 0 && s.connections() == 5 {
		t.Error("each call connected again")
	}
}

// An orchestrator that was restarted has closed the connections that nobody
// used; the next call does not fail for that.
func TestRestartIsNotNoticed(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	s := serve(t, socket, reply(fine))
	c := newClient(t, Config{Socket: socket})
	for i := range 3 {
		if _, err := c.Call(t.Context(), "x", nil); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		s.stop()
		s = serve(t, socket, reply(fine))
	}
	if st := c.Stats(); st.Failures != 0 || st.Reconnects != 2 {
		t.Errorf("stats %+v", st)
	}
}

func TestProtocolViolations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want abi.Code
	}{
		"no JSON":              {"<html>\n", abi.Failed},
		"two replies":          {fine + fine, abi.Failed},
		"a reply and a half":   {fine + "{", abi.Failed},
		"no end and no reply":  {"", abi.Unavailable},
		"a reply without end":  {fine[:len(fine)-1], abi.Unavailable},
		"a number beyond JSON": {`{"success":true,"result":-1e999}` + "\n", abi.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket := newSocket(t)
			bad := true
			s := serve(t, socket, func(conn net.Conn, _ string) {
				if !bad {
					reply(fine)(conn, "")
					return
				}
				bad = false
				_, _ = conn.Write([]byte(c.text))
				if c.want == abi.Unavailable {
					conn.Close()
				}
			})
			client := newClient(t, Config{Socket: socket})
			_, err := client.Call(t.Context(), "x", nil)
			wantCode(t, err, c.want)
			client.patience()
			if _, err := client.Call(t.Context(), "x", nil); err != nil {
				t.Error(err)
			}
			if n := s.connections(); n != 2 {
				t.Errorf("%d connections, want a second one", n)
			}
		})
	}
}

// What comes without having been asked for is nobody's reply.
func TestUnaskedReply(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	var n atomic.Int64
	s := serve(t, socket, func(c net.Conn, _ string) {
		fmt.Fprintf(c, `{"success":true,"result":%d}`+"\n", n.Add(1))
	})
	c := newClient(t, Config{Socket: socket})
	if got, err := c.Call(t.Context(), "x", nil); got != int64(1) || err != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	s.mu.Lock()
	fmt.Fprintln(s.conns[0], `{"success":true,"result":"unasked"}`)
	s.mu.Unlock()
	if got, err := c.Call(t.Context(), "x", nil); got != int64(2) || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if st := c.Stats(); st.Reconnects != 1 {
		t.Errorf("stats %+v", st)
	}
}

// A request that may have arrived is not sent again.
func TestNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	socket := newSocket(t)
	var n atomic.Int64
	serve(t, socket, func(c net.Conn, _ string) {
		if n.Add(1) == 2 {
			c.Close()
			return
		}
		reply(fine)(c, "")
	})
	c := newClient(t, Config{Socket: socket})
	if _, err := c.Call(t.Context(), "x", nil); err != nil {
		t.Fatal(err)
	}
	_, err := c.Call(t.Context(), "x", nil)
	wantCode(t, err, abi.Unavailable)
	if n.Load() != 2 {
		t.Errorf("%d requests arrived, want 2", n.Load())
	}
}

// A call of a task says which one it is, if that is configured.
func TestKeyOfACall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		param  string
		caller command.Caller
		want   string // of the params
	}{
		{"", command.Caller{Task: "17", Call: 3}, `{"a":1}`},
		{"key", command.Caller{Task: "17", Call: 3}, `{"a":1,"key":"host-x/17.3"}`},
		{"a", command.Caller{Task: "17", Call: 3}, `{"a":"host-x/17.3"}`}, // a guest cannot make it up
		{"key", command.Caller{}, `{"a":1}`},
	} {
		socket := newSocket(t)
		lines := make(chan string, 1)
		serve(t, socket, func(conn net.Conn, line string) {
			lines <- line
			_, _ = conn.Write([]byte(fine))
		})
		client := newClient(t, Config{Socket: socket, KeyParam: c.param, Host: "host-x"})
		params := map[string]any{"a": int64(1)}
		if _, err := client.Execute(t.Context(), c.caller, "x/y", params); err != nil {
			t.Error(err)
		}
		if got, want := strings.TrimSpace(await(t, lines, "the request")), `{"command":"x/y","params":`+c.want+`}`; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
		if len(params) != 1 || params["a"] != int64(1) {
			t.Errorf("the caller's params are now %v", params)
		}
	}
}
