package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/demo"
)

func (a *app) demoInferenceCommand() *cobra.Command {
	opts := demo.InferenceOptions{Program: a.program}
	cmd := &cobra.Command{
		Use:   "inference",
		Short: "Have a question in a conversation answered, with a model server or without",
		Long: `Make a conversation of public-domain text whose last message is a question, have
the inference worker answer it, and show the answer and the row that it wrote into
ai_generations.

Without --url no server is asked: the answer is made of the sentences of the
conversation that are nearest to the question, and is labelled so. With --url it is
the server's, which must speak OpenAI's protocol. The key is in the environment
variable that --key-env names, and nowhere else.`,
		Example: `  wasmhost demo inference
  wasmhost demo inference --ask 'How does a whale differ from other fish?'
  wasmhost demo inference --url http://127.0.0.1:8000/v1 --model smollm2
  wasmhost demo inference --url https://models.example.org/v1 --model small --key-env MODEL_KEY`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, out, err := a.demoOutput(cmd)
			if err != nil {
				return err
			}
			opts.Log, opts.Out, opts.Terminal = log, out, isTerminal(out)
			switch {
			case opts.Question == "":
				return usageError("--ask is empty: a question is needed")
			case opts.URL == "" && (opts.Model != "" || opts.KeyEnv != ""):
				return usageError("--model and --key-env have a meaning with --url only")
			case opts.URL != "" && opts.Model == "":
				return usageError("--url needs --model, the server's name for its model")
			}
			summary, err := demo.Inference(cmd.Context(), opts)
			var mismatch *demo.Mismatch
			if errors.As(err, &mismatch) {
				return &exitError{exitFailed, err}
			}
			if err != nil || !a.json {
				return err
			}
			return a.printJSON(summary)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Dir, "dir", "bin/demo-inference", "`folder` of the demo")
	flags.StringVar(&opts.Guest, "guest", "bin/guests/inference.wasm", "`file` of the inference worker")
	flags.StringVar(&opts.Question, "ask", "What kind of tail does a whale have?", "the `question`")
	flags.StringVar(&opts.URL, "url", "", "`address` of a model server, to which /chat/completions is added")
	flags.StringVar(&opts.Model, "model", "", "the server's `name` for its model")
	flags.StringVar(&opts.KeyEnv, "key-env", "", "environment `variable` that has the server's key")
	flags.BoolVar(&opts.Stream, "stream", true, "have the server answer piece by piece; some tell their tokens only without")
	must(cmd.MarkFlagDirname("dir"))
	must(cmd.MarkFlagFilename("guest", "wasm"))
	for _, flag := range []string{"ask", "url", "model", "key-env"} {
		must(cmd.RegisterFlagCompletionFunc(flag, cobra.NoFileCompletions))
	}
	return cmd
}
