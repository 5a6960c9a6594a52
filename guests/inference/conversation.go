package main

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const (
	messages = "chat_messages"

	// maxContent is how many bytes of a message are sent at most.
	maxContent = 16 << 10
	// spare is how many rows more are read: dates come in two forms that do not
	// sort as text within a second.
	spare = 16
)

// turn is a message of the conversation.
type turn struct {
	id, role, text string
	at             time.Time
}

// conversation reads the last messages that have a text, the oldest first.
func conversation(t *sdk.Task, o *options) ([]turn, error) {
	rows, err := t.Data.ListRows(abi.Query{
		Handle: o.handle, Collection: messages, Columns: []string{"id", "sender_type", "content", "timestamp"},
		Where:   []abi.Condition{{Column: "room_id", Op: abi.Equal, Value: o.room}},
		OrderBy: []abi.Order{{Column: "timestamp", Descending: true}, {Column: "id", Descending: true}},
		Limit:   o.contextRows + spare,
	})
	if err != nil {
		return nil, err
	}
	var turns []turn
	for i := range rows {
		id, text := bytesOf(rows[i].Field(0)), textOf(bytesOf(rows[i].Field(2)))
		if text == "" {
			continue // deleted, or only a picture
		}
		at, _ := time.Parse(time.RFC3339Nano, bytesOf(rows[i].Field(3))) // what is no date is the oldest
		turns = append(turns, turn{id, roleOf(bytesOf(rows[i].Field(1))), text, at})
	}
	slices.Reverse(turns)
	slices.SortStableFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	return turns[max(0, len(turns)-int(o.contextRows)):], nil
}

// bytesOf is a text, or nothing for what is none.
func bytesOf(f sdk.Field) string {
	b, err := f.Bytes()
	if err != nil {
		return ""
	}
	return string(b)
}

// roleOf is what a model calls a sender.
func roleOf(sender string) string {
	switch sender {
	case "agent", "ai", "assistant", "bot", "persona":
		return "assistant"
	}
	return "user"
}

// textOf is the text in a message's content, which is JSON, or was written as it
// is by somebody else.
func textOf(content string) string {
	var object struct {
		Text string `json:"text"`
	}
	var text string
	switch {
	case json.Unmarshal([]byte(content), &object) == nil:
		text = object.Text
	case json.Unmarshal([]byte(content), &text) == nil:
	default:
		text = content
	}
	text = strings.ToValidUTF8(text, "")
	if len(text) > maxContent {
		text = strings.ToValidUTF8(text[:maxContent], "")
	}
	return strings.TrimSpace(text)
}
