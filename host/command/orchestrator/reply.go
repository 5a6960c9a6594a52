package orchestrator

import (
	"bytes"
	"maps"
	"strings"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/abi/wire"
)

// maxErrorText is how many bytes of the orchestrator's words are passed on.
const maxErrorText = 1024

// read is what a reply says. With broken it is none, and nothing on the
// connection can be trusted.
func (c *Client) read(reply []byte, name string, params map[string]any) (result any, broken bool, err error) {
	v, err := decode(reply, wire.MaxDepth+1)
	if abi.CodeOf(err) == abi.LimitExceeded {
		return nil, false, abi.Errorf(abi.LimitExceeded, "the orchestrator's reply: %s", abi.MessageOf(err))
	}
	envelope, _ := v.(map[string]any)
	success, ok := envelope["success"].(bool)
	switch {
	case err != nil:
		return nil, true, abi.Errorf(abi.Failed, "the orchestrator broke the protocol: %s", abi.MessageOf(err))
	case !ok:
		return nil, true, abi.Errorf(abi.Failed, "the orchestrator broke the protocol: a reply without success")
	case !success:
		return nil, false, c.failure(envelope, name)
	}
	object, ok := envelope["result"].(map[string]any)
	if !ok {
		return envelope["result"], false, nil
	}
	if object["success"] == false {
		return nil, false, c.failure(object, name)
	}
	// What was asked, said again.
	maps.DeleteFunc(object, func(key string, value any) bool {
		if key == "context" || key == "sessionId" {
			return true
		}
		sent, ok := params[key]
		return ok && c.same(sent, value)
	})
	return object, false, nil
}

// same compares values as they are sent: a float that is whole comes back as an
// integer, and bytes as text.
func (c *Client) same(a, b any) bool {
	ea, eb := encoder{most: c.cfg.MaxMessageBytes}, encoder{most: c.cfg.MaxMessageBytes}
	return ea.value(a, 0) == nil && eb.value(b, 0) == nil && bytes.Equal(ea.b, eb.b)
}

// failure is the error that an object with success:false stands for.
func (c *Client) failure(object map[string]any, name string) error {
	text := words(object["error"])
	if text == "" {
		text = words(object["message"])
	}
	lower := strings.ToLower(text)
	for _, form := range c.cfg.UnknownCommand {
		if strings.Contains(lower, strings.ToLower(strings.ReplaceAll(form, "{command}", name))) {
			return abi.Errorf(abi.UnknownCommand, "the orchestrator has no such command: %s", clip(text))
		}
	}
	if text == "" {
		text = "no reason was given"
	}
	return abi.Errorf(abi.Failed, "the orchestrator: %s", clip(text))
}

// words finds the text in what an error was made of.
func words(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case map[string]any:
		s, _ := v["message"].(string)
		return s
	}
	return ""
}

func clip(s string) string {
	if len(s) > maxErrorText {
		return strings.ToValidUTF8(s[:maxErrorText], "") + "…"
	}
	return s
}
