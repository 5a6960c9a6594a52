package orchestrator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/host/command"
)

type settings map[string]any

func (s settings) Lookup(_ context.Context, key string) (any, bool, error) {
	v, ok := s[key]
	return v, ok, nil
}

type noTasks struct{}

func (noTasks) SubmitTask(context.Context, command.Submission) (string, bool, error) {
	return "", false, errors.New("no tasks")
}

// newRouter is a Router as the host composes it.
func newRouter(t testing.TB, c *Client, b command.Builtins) *command.Router {
	t.Helper()
	db := openDB(t, filepath.Join(t.TempDir(), "host.db"))
	events, err := command.OpenEvents(t.Context(), db, command.EventsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if b.Sessions == nil {
		if b.Sessions, err = command.OpenSessions(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	b.Events, b.Tasks = events, noTasks{}
	if b.Config == nil {
		b.Config = settings{}
	}
	r := command.NewRouter(nil)
	if err := command.RegisterBuiltins(r, b); err != nil {
		t.Fatal(err)
	}
	r.SetFallback(c)
	return r
}

func execute(t testing.TB, r *command.Router, c command.Caller, name string, params object) (any, error) {
	t.Helper()
	in, err := msgpack.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.Execute(t.Context(), c, name, in)
	if err != nil {
		return nil, err
	}
	d := msgpack.NewDecoder(bytes.NewReader(out))
	v, err := d.DecodeInterface()
	if err != nil {
		t.Fatal(err)
	}
	return v, nil
}

// knows is a server that has some commands, each with one result.
func knows(t testing.TB, results map[string]string) *Client {
	t.Helper()
	socket := newSocket(t)
	serve(t, socket, func(c net.Conn, line string) {
		var asked struct{ Command string }
		_ = json.Unmarshal([]byte(line), &asked)
		if result, ok := results[asked.Command]; ok {
			fmt.Fprintf(c, `{"success":true,"result":%s}`+"\n", result)
			return
		}
		fmt.Fprintf(c, `{"success":false,"error":"Command '%s' not found"}`+"\n", asked.Command)
	})
	return newClient(t, Config{Socket: socket})
}

func TestRouterAsksTheOrchestratorLast(t *testing.T) {
	t.Parallel()
	c := knows(t, map[string]string{"ping": `"theirs"`, "data/list": `{"count":3,"more":[1.5]}`})
	r := newRouter(t, c, command.Builtins{})
	w := command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"ping", "data/list", "nobody/*"}}}

	if got, err := execute(t, r, w, "data/list", nil); fmt.Sprint(got) != "map[count:3 more:[1.5]]" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := execute(t, r, w, "ping", nil); fmt.Sprint(got) == "theirs" || err != nil {
		t.Errorf("the host's own ping: got %v, %v", got, err)
	}
	_, err := execute(t, r, w, "nobody/knows", nil)
	wantCode(t, err, abi.UnknownCommand)
	calls := c.Stats().Calls
	_, err = execute(t, r, w, "data/delete", nil)
	wantCode(t, err, abi.NotGranted)
	_, err = r.Execute(t.Context(), w, "data/list", []byte{0x90})
	wantCode(t, err, abi.InvalidArgument)
	if got := c.Stats().Calls; got != calls || calls != 2 {
		t.Errorf("%d calls, then %d; want 2: what is refused is not asked", calls, got)
	}
}

func TestConfigIsAsked(t *testing.T) {
	t.Parallel()
	own := settings{"archive.n": int64(1)}
	w := command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"config/get"}, Config: []string{"archive.*"}}}
	for _, c := range []struct {
		answer string // "" for an unknown command
		q      Question
		want   string
		code   abi.Code
	}{
		{`{"value":7,"key":"archive.n"}`, Question{}, "map[found:true value:7]", abi.OK},
		{`{"value":{"a":[1]}}`, Question{}, "map[found:true value:map[a:[1]]]", abi.OK},
		{`7`, Question{}, "map[found:true value:7]", abi.OK},
		{`null`, Question{}, "map[found:false value:<nil>]", abi.OK},
		{`{"value":null}`, Question{}, "map[found:false value:<nil>]", abi.OK},
		{`{"success":true,"context":{},"key":"archive.n"}`, Question{}, "map[found:false value:<nil>]", abi.OK},
		{`{"found":false}`, Question{}, "map[found:false value:<nil>]", abi.OK},
		{`{"setting":5}`, Question{}, "without a value", abi.Failed},
		{`{"success":false,"error":"locked"}`, Question{Builtin: true}, "locked", abi.Failed},
		{``, Question{}, "not found", abi.UnknownCommand},
		{``, Question{Builtin: true}, "map[found:true value:1]", abi.OK},
	} {
		results := map[string]string{}
		if c.answer != "" {
			results["settings/get"] = c.answer
		}
		client := knows(t, results)
		c.q.Command, c.q.Param = "settings/get", "key"
		r := newRouter(t, client, command.Builtins{Config: client.Config(c.q, own)})
		got, err := execute(t, r, w, "config/get", object{"key": "archive.n"})
		if abi.CodeOf(err) != c.code || err == nil && fmt.Sprint(got) != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %+v: got %v, %v", c.answer, c.q, got, err)
		}
		// Grants are the host's to check, whoever has the value.
		calls := client.Stats().Calls
		_, err = execute(t, r, w, "config/get", object{"key": "secret"})
		wantCode(t, err, abi.NotGranted)
		if client.Stats().Calls != calls {
			t.Error("a key that was not granted was asked for")
		}
	}
}

func TestSessionIsAsked(t *testing.T) {
	t.Parallel()
	w := command.Caller{Worker: "w", Grants: command.Grants{Commands: []string{"session/*"}}}
	for _, c := range []struct {
		answer  string
		builtin bool
		want    string
		code    abi.Code
	}{
		{`{"success":true,"user":{"name":"ann"},"targetSessionId":"s"}`, false, "map[data:map[user:map[name:ann]] found:true sessionId:s]", abi.OK},
		{`{"data":{"n":1},"found":true}`, false, "map[data:map[n:1] found:true sessionId:s]", abi.OK},
		{`{"success":true}`, false, "map[found:false sessionId:s]", abi.OK},
		{`{"found":false,"data":{"n":1}}`, false, "map[found:false sessionId:s]", abi.OK},
		{`null`, false, "map[found:false sessionId:s]", abi.OK},
		{`"text"`, false, "no object", abi.Failed},
		{``, false, "not found", abi.UnknownCommand},
		{``, true, "map[data:map[own:1] found:true sessionId:s]", abi.OK},
	} {
		results := map[string]string{}
		if c.answer != "" {
			results["session/get-user"] = c.answer
		}
		client := knows(t, results)
		db := openDB(t, filepath.Join(t.TempDir(), "host.db"))
		sessions, err := command.OpenSessions(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		q := Question{Command: "session/get-user", Param: "targetSessionId", Builtin: c.builtin}
		r := newRouter(t, client, command.Builtins{Sessions: sessions, ReadSessions: client.Sessions(q, sessions)})
		if _, err := execute(t, r, w, "session/set", object{"sessionId": "s", "data": object{"own": 1}}); err != nil {
			t.Fatal(err)
		}
		got, err := execute(t, r, w, "session/get", object{"sessionId": "s"})
		if m, ok := got.(map[string]any); ok {
			delete(m, "expires_ms")
		}
		if abi.CodeOf(err) != c.code || err == nil && fmt.Sprint(got) != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, %v", c.answer, got, err)
		}
	}
}

// That a built-in answered in the orchestrator's place is counted each time and
// logged once.
func TestFallbackIsTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := knows(t, nil)
	c.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	own := c.Config(Question{Command: "config/get", Param: "key", Builtin: true}, settings{"k": "v"})
	for range 3 {
		if v, found, err := own.Lookup(t.Context(), "k"); v != "v" || !found || err != nil {
			t.Errorf("got %v, %t, %v", v, found, err)
		}
	}
	if got := c.Stats().Fallbacks; got != 3 {
		t.Errorf("%d fallbacks counted", got)
	}
	if got := strings.Count(log.String(), "the built-in one answers"); got != 1 {
		t.Errorf("told %d times:\n%s", got, &log)
	}
}
