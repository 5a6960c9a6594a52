package main

import (
	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
)

const maxContextRows = 200

// options are what a task asks for.
type options struct {
	handle, room          string
	model, system         string
	session, user         string
	purpose               string
	senderID, senderName  string
	reply                 bool
	contextRows, attempts int64
}

func readTask(t *sdk.Task) (o options, err error) {
	p := t.Payload
	err = p.Only("room_id", "conversation", "reply", "model", "system", "context", "max_tokens", "temperature", "seed",
		"session_id", "user_id", "purpose", "sender_id", "sender_name", "source_handle")
	if err != nil {
		return o, err
	}
	if p.Has("room_id") == p.Has("conversation") {
		return o, abi.Errorf(abi.InvalidArgument, `payload: one of "room_id" and "conversation" is needed, which are two words for one thing`)
	}
	for _, f := range []struct {
		name, config, otherwise string
		to                      *string
	}{
		{"room_id", "", "", &o.room},
		{"conversation", "", "", &o.room},
		{"model", "inference.model", "", &o.model},
		{"system", "inference.system", "", &o.system},
		{"session_id", "", "", &o.session},
		{"user_id", "", "", &o.user},
		{"purpose", "", "chat", &o.purpose},
		{"sender_id", "", "assistant", &o.senderID},
		{"sender_name", "", "Assistant", &o.senderName},
		{"source_handle", "", t.Handle("source", "primary"), &o.handle},
	} {
		if !p.Has(f.name) && *f.to != "" {
			continue // the other word has said it
		}
		if f.config != "" {
			if f.otherwise, err = t.Commands.ConfigString(f.config, ""); err != nil {
				return o, err
			}
		}
		if *f.to, err = p.StringOr(f.name, f.otherwise); err != nil {
			return o, err
		}
	}
	if o.room == "" {
		return o, abi.Errorf(abi.InvalidArgument, "payload: the conversation has no name")
	}
	if o.reply, err = p.BoolOr("reply", false); err != nil {
		return o, err
	}
	if o.contextRows, err = number(t, "inference.contextRows", 20, maxContextRows); err != nil {
		return o, err
	}
	o.attempts, err = number(t, "inference.maxAttempts", 5, 1000)
	return o, err
}

func number(t *sdk.Task, key string, otherwise, most int64) (int64, error) {
	n, err := t.Commands.ConfigInt(key, otherwise)
	if err == nil && (n < 1 || n > most) {
		err = abi.Errorf(abi.InvalidArgument, "config: key %q is %d, but must be from 1 to %d", key, n, most)
	}
	return n, err
}
