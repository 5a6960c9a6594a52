package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	generations = "ai_generations"

	// dates is the form of dates in this database.
	dates = "2006-01-02T15:04:05.000Z"

	maxErrorText = 2000 // bytes of an error in a row
)

// generation is a row of ai_generations, and the reply that goes with it. Numbers
// are nil where nobody knows them.
type generation struct {
	id   string
	task *sdk.Task
	opt  options

	provider, model, reason    string
	input, output, total, cost any
	took                       any // milliseconds
	success                    bool
	err                        string

	text    string // "" also for a row that an earlier attempt wrote
	written bool   // an earlier attempt wrote a reply
	replyTo string
}

func (g *generation) replyID() string { return g.task.UUID("reply") }

// replied says whether there is a reply in the conversation.
func (g *generation) replied() bool { return g.written || g.opt.reply && g.success && g.text != "" }

// find reads the row that an earlier attempt wrote.
func (g *generation) find() (bool, error) {
	by := func(id string) []abi.Condition { return []abi.Condition{{Column: "id", Op: abi.Equal, Value: id}} }
	rows, err := g.task.Data.ListRows(abi.Query{
		Handle: g.opt.handle, Collection: generations, Where: by(g.id),
		Columns: []string{"provider", "model", "finish_reason", "error", "success", "input_tokens", "output_tokens", "total_tokens", "estimated_cost", "response_time"},
	})
	if err != nil || len(rows) == 0 {
		return false, err
	}
	row := &rows[0]
	for i, to := range []*string{&g.provider, &g.model, &g.reason, &g.err} {
		*to = bytesOf(row.Field(i))
	}
	success, err := row.Field(4).Int()
	if err != nil {
		return false, err
	}
	g.success = success != 0
	for i, to := range []*any{&g.input, &g.output, &g.total, &g.cost, &g.took} {
		if *to, err = row.Field(5 + i).Value(); err != nil {
			return false, err
		}
	}
	if g.opt.reply {
		g.written, err = g.task.Data.Exists(abi.Query{Handle: g.opt.handle, Collection: messages, Where: by(g.replyID())})
	}
	return true, err
}

// read takes an answer of ai/generate.
func (g *generation) read(answer any) error {
	a, _ := answer.(map[string]any)
	usage, _ := a["usage"].(map[string]any)
	for name, to := range map[string]*string{"text": &g.text, "provider": &g.provider, "model": &g.model, "finish_reason": &g.reason} {
		s, ok := a[name].(string)
		if !ok {
			return abi.Errorf(abi.Internal, "it has no %s", name)
		}
		*to = s
	}
	g.input, g.output, g.total, g.cost = usage["input_tokens"], usage["output_tokens"], usage["total_tokens"], usage["cost_usd"]
	g.took, g.success = a["latency_ms"], true
	return nil
}

// failed takes a failure that is the task's outcome.
func (g *generation) failed(err error, took time.Duration) {
	g.provider, g.model, g.reason, g.took = "unknown", g.opt.model, "error", took.Milliseconds()
	if g.model == "" {
		g.model = "default"
	}
	g.err = abi.CodeOf(err).String() + ": " + abi.MessageOf(err)
	if len(g.err) > maxErrorText {
		g.err = strings.ToValidUTF8(g.err[:maxErrorText], "")
	}
}

// write adds the row and the reply, both or none. Those that are there already
// stay as they are.
func (g *generation) write(now time.Time) error {
	date := now.UTC().Format(dates)
	row := sdk.NewBatch("id", "created_at", "updated_at", "version", "timestamp", "request_id", "provider", "model",
		"input_tokens", "output_tokens", "total_tokens", "estimated_cost", "response_time", "user_id", "room_id", "purpose", "finish_reason", "success", "error")
	row.Row().Text(g.id).Text(date).Text(date).Float(1).Int(now.UnixMilli()).Text(g.task.ID).Text(g.provider).Text(g.model)
	for _, v := range []any{g.input, g.output, g.total, g.cost, g.took, optional(g.opt.user), g.opt.room, g.opt.purpose, optional(g.reason)} {
		add(row, v)
	}
	add(row.Bool(g.success), optional(g.err))
	change, err := g.insert(generations, row)
	if err != nil {
		return err
	}
	changes := []sdk.Change{change}
	if g.replied() {
		content, err := json.Marshal(map[string]any{"text": g.text})
		if err != nil {
			return err
		}
		metadata, err := json.Marshal(map[string]any{"source": "inference", "generationId": g.id, "provider": g.provider, "model": g.model})
		if err != nil {
			return err
		}
		reply := sdk.NewBatch("id", "created_at", "updated_at", "version", "room_id", "sender_id", "sender_name", "sender_type",
			"content", "status", "priority", "timestamp", "reactions", "reply_to_id", "metadata")
		reply.Row().Text(g.replyID()).Text(date).Text(date).Float(1).Text(g.opt.room).Text(g.opt.senderID).Text(g.opt.senderName).Text("agent").
			Text(string(content)).Text("sent").Text("normal").Text(date).Text("[]").Text(g.replyTo).Text(string(metadata))
		if change, err = g.insert(messages, reply); err != nil {
			return err
		}
		changes = append(changes, change)
	}
	_, err = g.task.Data.WriteAll(changes...)
	return err
}

func (g *generation) insert(collection string, rows *sdk.Batch) (sdk.Change, error) {
	b, err := rows.Bytes()
	return sdk.Change{Mutation: abi.Mutation{Handle: g.opt.handle, Collection: collection, Verb: abi.InsertNew, Key: []string{"id"}}, Batch: b}, err
}

// optional is a text, or NULL for none.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// add adds a value of the host's to a row.
func add(b *sdk.Batch, v any) {
	switch v := v.(type) {
	case int64:
		b.Int(v)
	case float64:
		b.Float(v)
	case string:
		b.Text(v)
	default:
		b.Null()
	}
}
