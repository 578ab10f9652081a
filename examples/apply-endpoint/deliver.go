package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
)

// deliverTo returns a deliverer that POSTs the claim to a URL. Your program behind the
// URL updates and restarts the workspace. Its answer is the outcome:
//
//	200, {"installed": "c0ffee"}   the workspace runs this version
//	202                            the restart is on its way; an install report will tell
//	422, a text                    the version was applied, and does not work
//	503, a text                    the workspace is offline; nothing was applied
//
// Any other answer, or no answer, is an error: it is unknown what was applied.
func deliverTo(url string) deliverer {
	// The context has the timeout. A redirect is an error like any other status.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context, c claim) result {
		body, err := json.Marshal(c)
		if err != nil {
			return result{Outcome: "skipped", Detail: err.Error()}
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return result{Outcome: "skipped", Detail: err.Error()}
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return result{Outcome: outcomeOf(err), Detail: err.Error()}
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if err != nil {
			return result{Outcome: "error", Detail: err.Error()}
		}
		// The database accepts neither invalid UTF-8 nor zero bytes, and a report must
		// not be lost because of them.
		text := strings.ReplaceAll(strings.ToValidUTF8(string(answer), "?"), "\x00", "?")
		switch response.StatusCode {
		case http.StatusOK:
			var said struct{ Installed string }
			if err := json.Unmarshal([]byte(text), &said); err != nil || said.Installed == "" {
				return result{Outcome: "error", Detail: "the delivery does not say what is installed: " + text}
			}
			return result{Outcome: "succeeded", Installed: said.Installed}
		case http.StatusAccepted:
			return result{}
		case http.StatusUnprocessableEntity:
			return result{Outcome: "failed", Detail: text}
		case http.StatusServiceUnavailable:
			return result{Outcome: "skipped", Detail: text}
		}
		return result{Outcome: "error", Detail: response.Status + ": " + text}
	}
}

// outcomeOf returns the outcome of a request without an answer. Without a connection
// nothing was sent, so nothing was applied.
func outcomeOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return "skipped"
	}
	return "error"
}
