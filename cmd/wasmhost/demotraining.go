package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/demo"
)

func (a *app) demoTrainingCommand() *cobra.Command {
	opts := demo.TrainingOptions{Program: a.program}
	cmd := &cobra.Command{
		Use:   "training",
		Short: "Train an adapter for the embedding model, and measure what it does",
		Long: `Cut sentences of public-domain text into halves, have the training worker train an
adapter by which the vector of a first half is nearer to that of its second, and
show the loss of each epoch and how well the right half is found among those of
sentences that were not trained on, without the adapter and with it. Nothing is
asked of a server.`,
		Example: `  wasmhost demo training
  wasmhost demo training --pairs 8000 --epochs 20 --dir /tmp/training`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, out, err := a.demoOutput(cmd)
			if err != nil {
				return err
			}
			opts.Log, opts.Out = log, out
			if opts.Pairs < 100 || opts.Pairs > 10_000 || opts.Epochs < 1 || opts.Epochs > 200 {
				return usageError("--pairs %d --epochs %d: from 100 to 10000 and from 1 to 200 are possible", opts.Pairs, opts.Epochs)
			}
			summary, err := demo.Training(cmd.Context(), opts)
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
	flags.StringVar(&opts.Dir, "dir", "bin/demo-training", "`folder` of the demo")
	flags.StringVar(&opts.Guests, "guests", "bin/guests", "`folder` of training.wasm and embedding.wasm")
	flags.IntVar(&opts.Pairs, "pairs", 4000, "sentences to cut in two, up to 10000")
	flags.IntVar(&opts.Epochs, "epochs", 8, "times that all of them are gone through, up to 200")
	flags.Int64Var(&opts.Seed, "seed", 1, "seed of the random numbers")
	must(cmd.MarkFlagDirname("dir"))
	must(cmd.MarkFlagDirname("guests"))
	return cmd
}
