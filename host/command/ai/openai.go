package ai

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/wasmhost/wasmhost/abi"
)

// Limits of what a server may answer, as bytes on the wire.
const (
	maxHeader     = 64 << 10
	maxCompletion = 16 << 20 // of one, all pieces and what stands around them
	maxEmbeddings = 32 << 20
	maxProblem    = 64 << 10 // that is read of an answer which says what went wrong
	maxDimension  = 16384

	maxConnections = 16 // to one server
)

// openAI is a server that speaks OpenAI's protocol,
// https://platform.openai.com/docs/api-reference. What it says is not trusted: it
// has bounds, and none of it but texts and numbers goes on to a caller.
type openAI struct {
	name      string
	url       string // without a slash at its end
	model     string
	key       func() (string, error)
	timeout   time.Duration
	attempts  int
	stream    bool
	dimension int
	client    *http.Client
	pause     func(context.Context, time.Duration) error // between attempts
}

func newOpenAI(name string, c ModelConfig) (*openAI, error) {
	o := &openAI{
		name: name, url: strings.TrimRight(c.URL, "/"), model: c.Model, key: c.Key, timeout: c.Timeout, attempts: c.Attempts,
		stream: c.Stream, dimension: c.Dimension, pause: sleep,
	}
	if o.model == "" {
		o.model = name
	}
	if o.key == nil {
		o.key = func() (string, error) { return "", nil }
	}
	first, err := http.NewRequest(http.MethodPost, o.url, nil)
	if err != nil {
		return nil, abi.Errorf(abi.InvalidArgument, "model %s: its url is no address", name)
	}
	o.client = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
			MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections, IdleConnTimeout: 90 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // bytes are bounded as they come
		},
		// The key must not go where the operator did not send it.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if r.URL.Scheme != first.URL.Scheme || r.URL.Host != first.URL.Host || len(via) > 3 {
				return errRedirect
			}
			return nil
		},
	}
	return o, nil
}

var errRedirect = errors.New("it sends requests on to another server, or in a circle")

type embeddingsRequest struct {
	Model    string   `json:"model"`
	Input    []string `json:"input"`
	Encoding string   `json:"encoding_format"`
}

type embeddingsReply struct {
	Data []struct {
		Index     *int            `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
	Usage *tokens `json:"usage"`
}

// Embed implements embedder. Empty texts are not sent: most servers refuse them.
func (o *openAI) Embed(ctx context.Context, key string, texts []string) (*vectors, error) {
	v := &vectors{Model: o.model, Dimension: o.dimension, Vectors: make([][]byte, len(texts))}
	request := embeddingsRequest{Model: o.model, Encoding: "float"}
	var places []int
	for i, t := range texts {
		if strings.TrimSpace(t) != "" {
			request.Input, places = append(request.Input, t), append(places, i)
		}
	}
	if len(places) == 0 {
		none := int64(0)
		v.Tokens = &none
		return v, nil
	}
	var reply embeddingsReply
	err := o.post(ctx, "/embeddings", key, request, func(r *http.Response) error {
		b, err := readAll(r.Body, maxEmbeddings)
		if err == nil {
			if err = json.Unmarshal(b, &reply); err != nil {
				err = garbage("JSON")
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(reply.Data) != len(places) {
		return nil, answered("it answered %d vectors for %d texts", len(reply.Data), len(places))
	}
	for i, d := range reply.Data {
		at := i
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= len(places) || v.Vectors[places[at]] != nil {
			return nil, answered("it answered a vector of the text %d twice, or of one that was not sent", at)
		}
		b, err := vectorOf(d.Embedding)
		if err != nil {
			return nil, err
		}
		if v.Dimension == 0 {
			v.Dimension = len(b) / 4
		}
		if len(b) != 4*v.Dimension {
			return nil, answered("it answered a vector of %d dimensions, %d were expected", len(b)/4, v.Dimension)
		}
		v.Vectors[places[at]] = b
	}
	v.Tokens, _ = reply.Usage.counts()
	return v, nil
}

// vectorOf reads a vector, of numbers or as base64 of float32, as float32.
func vectorOf(raw json.RawMessage) ([]byte, error) {
	var list []float64
	if len(raw) > 0 && raw[0] == '"' {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return nil, garbage("a vector")
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b)%4 != 0 {
			return nil, garbage("a vector")
		}
		for i := 0; i < len(b); i += 4 {
			list = append(list, float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))))
		}
	} else if json.Unmarshal(raw, &list) != nil {
		return nil, garbage("a vector")
	}
	if len(list) == 0 || len(list) > maxDimension {
		return nil, answered("it answered a vector of %d dimensions: 1 to %d can be", len(list), maxDimension)
	}
	b := make([]byte, 0, 4*len(list))
	for _, x := range list {
		f := float32(x)
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			return nil, answered("it answered a vector with something else than finite numbers in it")
		}
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b, nil
}

type chatRequest struct {
	Model         string         `json:"model"`
	Messages      []message      `json:"messages"`
	MaxTokens     int64          `json:"max_tokens"`
	Temperature   *float64       `json:"temperature,omitempty"`
	Seed          *int64         `json:"seed,omitempty"`
	Stream        bool           `json:"stream"`
	StreamOptions *streamOptions `json:"stream_options,omitempty"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// Generate implements generator.
func (o *openAI) Generate(ctx context.Context, key string, p *prompt) (*answer, error) {
	request := chatRequest{
		Model: o.model, Messages: withContext(p), MaxTokens: p.MaxTokens, Temperature: p.Temperature, Seed: p.Seed, Stream: o.stream,
	}
	if o.stream {
		request.StreamOptions = &streamOptions{IncludeUsage: true}
	}
	var a *answer
	err := o.post(ctx, "/chat/completions", key, request, func(r *http.Response) (err error) {
		// A server may not stream though it was asked to.
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "text/event-stream" {
			a, err = readStream(r.Body)
		} else {
			a, err = readCompletion(r.Body)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.Model == "" {
		a.Model = o.model
	}
	return a, nil
}

// withContext puts what an answer may be taken from behind the first system
// messages.
func withContext(p *prompt) []message {
	if len(p.Context) == 0 {
		return p.Messages
	}
	at := 0
	for at < len(p.Messages) && p.Messages[at].Role == "system" {
		at++
	}
	given := message{"system", "What may help with the answer:\n\n" + strings.Join(p.Context, "\n\n")}
	return append(append(append([]message{}, p.Messages[:at]...), given), p.Messages[at:]...)
}

// post makes a request, again while that may help, and has read read the answer.
func (o *openAI) post(ctx context.Context, path, key string, request any, read func(*http.Response) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return abi.Errorf(abi.Internal, "writing a request: %w", err)
	}
	for attempt := 1; ; attempt++ {
		err := o.once(ctx, path, key, body, read)
		var f *failure
		if err == nil || !errors.As(err, &f) || !f.again || attempt >= o.attempts || ctx.Err() != nil {
			return err
		}
		wait := f.after
		if wait == 0 {
			wait = backOff(attempt)
		}
		if deadline, ok := ctx.Deadline(); wait > maxWait || ok && time.Until(deadline) < wait {
			return err // whoever asked can wait better than a sandbox
		}
		if o.pause(ctx, wait) != nil {
			return abi.Errorf(abi.CodeOf(ctx.Err()), "waiting to ask again: %w", ctx.Err())
		}
	}
}

// once makes one request.
func (o *openAI) once(ctx context.Context, path, key string, body []byte, read func(*http.Response) error) error {
	limited, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(limited, http.MethodPost, o.url+path, bytes.NewReader(body))
	if err != nil {
		return abi.Errorf(abi.Internal, "its url is no address")
	}
	secret, err := o.key()
	if err != nil {
		return &failure{code: abi.Unavailable, text: "its key cannot be read; the host's log says why", cause: err}
	}
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("User-Agent", "wasmhost")
	r.Header.Set("Idempotency-Key", key)
	response, err := o.client.Do(r)
	begun := false
	if err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return o.refusal(response, secret)
		}
		begun = true
		if err = read(response); err == nil {
			return nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return &failure{code: abi.CodeOf(ctx.Err()), text: fmt.Sprintf("the call ended before the answer did: %v", ctx.Err()), begun: true}
	case limited.Err() != nil:
		return &failure{code: abi.Unavailable, text: fmt.Sprintf("its server did not answer within %v", o.timeout), begun: true}
	case errors.Is(err, errRedirect):
		return &failure{code: abi.Failed, text: errRedirect.Error()}
	case !begun:
		return &failure{code: abi.Unavailable, text: "its server cannot be reached, or broke off", cause: err, again: true, begun: !dialing(err)}
	}
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{code: abi.Unavailable, text: "its server broke off in the middle of its answer", cause: err, begun: true}
}

// readAll reads what has at most so many bytes.
func readAll(r io.Reader, most int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err == nil && int64(len(b)) > most {
		err = &failure{code: abi.LimitExceeded, text: fmt.Sprintf("it answered more than %d bytes", most), begun: true}
	}
	return b, err
}
