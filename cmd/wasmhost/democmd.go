package main

import (
	"errors"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/wasmhost/wasmhost/cmd/wasmhost/demo"
)

func (a *app) demoCommand() *cobra.Command {
	opts := demo.Options{Program: a.program}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Archive and search real rows in a folder of its own, and check the result",
		Long: `Make a database of chat messages from public-domain text, archive all but the
newest with the archive worker, and check in SQL that each row is in exactly one
of the two databases and byte for byte what it was. Then embed documents with the
embedding worker, ask them three questions by its command embedding/query, and
check vectors and answers against native code. Exit code 1 if anything is not as it
should be.

All files are in one folder, about 210 MB of them with the default number of
rows. A folder with other files in it is refused; one that the demo made before
is cleared of what the demo put there. The configuration flags do not count
here: the demo writes its own wasmhost.toml.`,
		Example:           "  wasmhost demo\n  wasmhost demo --dir /tmp/demo --rows 5000 --keep 500",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, out, err := a.demoOutput(cmd)
			if err != nil {
				return err
			}
			opts.Log, opts.Out, opts.Terminal = log, out, isTerminal(out)
			if opts.Rows < 1 || opts.Keep < 0 || opts.Documents < 1 {
				return usageError("--rows %d --keep %d --documents %d: at least 1, 0 and 1 are needed", opts.Rows, opts.Keep, opts.Documents)
			}
			summary, err := demo.Run(cmd.Context(), opts)
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
	flags.StringVar(&opts.Dir, "dir", "bin/demo", "`folder` of the demo")
	flags.StringVar(&opts.Guests, "guests", "bin/guests", "`folder` of archive.wasm and embedding.wasm")
	flags.IntVar(&opts.Rows, "rows", 100_000, "messages to make")
	flags.IntVar(&opts.Keep, "keep", 10_000, "newest messages, which stay in the primary")
	flags.IntVar(&opts.Documents, "documents", 20_000, "sentences to embed, at most 35,305")
	must(cmd.MarkFlagDirname("dir"))
	must(cmd.MarkFlagDirname("guests"))
	cmd.AddCommand(a.demoTrainingCommand())
	cmd.AddCommand(a.demoInferenceCommand())
	return cmd
}

// demoOutput is where a demo logs, and where it tells people what happens.
func (a *app) demoOutput(cmd *cobra.Command) (*slog.Logger, io.Writer, error) {
	for _, flag := range []string{"config", "state-dir", "workers-dir"} {
		if cmd.Flag(flag).Changed {
			return nil, nil, usageError("--%s has no meaning for the demo, which makes everything in its own folder: use --dir", flag)
		}
	}
	level := slog.LevelWarn
	if value, ok := a.given["log.level"]; ok {
		if err := level.UnmarshalText([]byte(value)); err != nil {
			return nil, nil, usageError("--log-level %q: debug, info, warn or error", value)
		}
	}
	out := a.stdout
	if a.json {
		out = a.stderr
	}
	return slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})), out, nil
}
