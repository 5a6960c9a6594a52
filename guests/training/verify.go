package main

import (
	"bytes"
	"errors"

	"github.com/wasmhost/wasmhost/abi"
	"github.com/wasmhost/wasmhost/sdk"
	"github.com/wasmhost/wasmhost/sdk/embed"
)

const (
	commandEmbed = "embedding/embed"
	modelPrefix  = "static+lora:"
)

// probes is what the adapter is tried on.
func probes() []string {
	return []string{
		"The ship sank in the storm.", "How do I reset my password?", "Heavy rain flooded the streets of the city.",
		"the price of bread", "Ünïcödé ① 中文", "scientists", "Please find attached the minutes of our last meeting, and let me know what is missing.",
	}
}

// verify asks the embedding worker for vectors with the adapter: they must be
// those that it gives here. Where that worker cannot be asked, it says why.
func verify(t *sdk.Task, id string, m *embed.Adapter) (untested string, err error) {
	texts := make([]any, 0, len(probes()))
	for _, text := range probes() {
		texts = append(texts, text)
	}
	answer, err := t.Commands.Execute(commandEmbed, map[string]any{"texts": texts, "model": modelPrefix + id})
	for _, code := range []abi.Code{abi.NotGranted, abi.UnknownCommand, abi.UnknownHandle, abi.UnknownCollection} {
		if errors.Is(err, code) {
			return commandEmbed + ": " + abi.MessageOf(err), nil
		}
	}
	if err != nil {
		return "", abi.Errorf(abi.CodeOf(err), "trying the adapter with %s: %s", commandEmbed, abi.MessageOf(err))
	}
	if answer == nil {
		return commandEmbed + ": no answer, as in a dry run", nil
	}
	fields, _ := answer.(map[string]any)
	vectors, _ := fields["vectors"].([]any)
	if len(vectors) != len(texts) {
		return "", abi.Errorf(abi.Failed, "trying the adapter with %s: %d vectors for %d texts", commandEmbed, len(vectors), len(texts))
	}
	z := make([]float32, embed.Dim)
	for i, text := range probes() {
		got, _ := vectors[i].([]byte)
		if !m.Apply(z, embed.Text(text)) || !bytes.Equal(got, embed.AppendVector(nil, z)) {
			return "", sdk.Permanent(abi.Errorf(abi.Failed,
				"%s gives %q another vector than the adapter %q does here: is the embedding worker of another version?", commandEmbed, text, id))
		}
	}
	return "", nil
}
