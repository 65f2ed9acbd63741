// What an application does with the client that oapi-codegen has generated into the package api. It prints a report as JSON.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"reflect"
	"sort"
	"time"

	"cloud-connector/generators/api"
)

type followed struct {
	Events [][2]any `json:"events"`
	Answer any      `json:"answer"`
}

type report struct {
	Connections []string          `json:"connections"`
	Problem     string            `json:"problem"`
	Called      any               `json:"called"`
	Followed    followed          `json:"followed"`
	Decoded     map[string]string `json:"decoded"`
}

type application struct {
	client   *api.ClientWithResponses
	clientID string
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("usage: driver URL CLIENT_ID DOCUMENT")
	}
	result, err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, clientID, document string) (*report, error) {
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+os.Getenv("CLOUD_CONNECTOR_TOKEN"))
		return nil
	}
	client, err := api.NewClientWithResponses(url, api.WithRequestEditorFn(authorize))
	if err != nil {
		return nil, err
	}
	app := application{client, clientID}
	since := time.Now()
	var result report
	if result.Connections, err = app.allConnections(ctx); err != nil {
		return nil, err
	}
	if result.Problem, err = app.readNobody(ctx); err != nil {
		return nil, err
	}
	if result.Called, err = app.call(ctx); err != nil {
		return nil, err
	}
	if result.Followed, err = app.follow(ctx, since); err != nil {
		return nil, err
	}
	if result.Decoded, err = decodedExamples(document); err != nil {
		return nil, err
	}
	return &result, nil
}

func (app application) allConnections(ctx context.Context) ([]string, error) {
	ids := []string{}
	state, limit := api.ConnectionStateOnline, 1
	var cursor *string
	for {
		params := api.ListConnectionsParams{State: &state, Limit: &limit, Cursor: cursor}
		page, err := app.client.ListConnectionsWithResponse(ctx, &params)
		if err != nil {
			return nil, err
		}
		if page.JSON200 == nil {
			return nil, fmt.Errorf("no page: %s %s", page.Status(), page.Body)
		}
		for _, connection := range page.JSON200.Data {
			ids = append(ids, connection.ClientId)
		}
		if cursor = page.JSON200.NextCursor; cursor == nil {
			sort.Strings(ids)
			return ids, nil
		}
	}
}

// readNobody returns the kind of the problem.
func (app application) readNobody(ctx context.Context) (string, error) {
	response, err := app.client.GetConnectionWithResponse(ctx, "nobody", nil)
	if err != nil {
		return "", err
	}
	if response.ApplicationproblemJSON404 == nil {
		return "", fmt.Errorf("no problem: %s %s", response.Status(), response.Body)
	}
	return response.ApplicationproblemJSON404.Type, nil
}

// call sends a message, and waits for its answer within the same request.
func (app application) call(ctx context.Context) (any, error) {
	wait, seconds := "wait=30", 30
	params := api.SendMessageParams{Prefer: &wait}
	body := api.SendMessage{
		Directive:              "demo:ping",
		Payload:                map[string]any{"job": 7},
		ResponseTimeoutSeconds: &seconds,
	}
	response, err := app.client.SendMessageWithResponse(ctx, app.clientID, &params, body)
	if err != nil {
		return nil, err
	}
	if response.JSON200 == nil || response.JSON200.Answer == nil {
		return nil, fmt.Errorf("no answer: %s %s", response.Status(), response.Body)
	}
	return response.JSON200.Answer.Payload, nil
}

// follow follows the events since then. As soon as it gets the answer of the first message, it sends another.
func (app application) follow(ctx context.Context, since time.Time) (followed, error) {
	var result followed
	types := []api.EventFilter{api.EventFilterMessageStatus, api.EventFilterMessageProgress}
	params := api.StreamEventsParams{Types: &types, ClientId: &app.clientID, Since: &since}
	response, err := app.client.StreamEvents(ctx, &params)
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return result, fmt.Errorf("no events: %s", response.Status)
	}
	var second *api.AcceptedMessage
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		data, isData := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !isData {
			continue
		}
		value, err := decoded(data)
		if err != nil {
			return result, err
		}
		switch event := value.(type) {
		case api.MessageProgressEvent:
			if second != nil && event.MessageId == second.MessageId && event.Percent != nil {
				result.Events = append(result.Events, [2]any{event.Type, *event.Percent})
			}
		case api.MessageStatusEvent:
			isSecond := second != nil && event.MessageId == second.MessageId
			if isSecond {
				result.Events = append(result.Events, [2]any{event.Type, event.Status})
			}
			if event.Status != api.MessageStatusAnswered {
				continue
			}
			if isSecond {
				result.Answer, err = app.answerTo(ctx, *second)
				return result, err
			}
			if second, err = app.send(ctx); err != nil {
				return result, err
			}
		}
	}
	return result, fmt.Errorf("the stream has ended too early")
}

func (app application) send(ctx context.Context) (*api.AcceptedMessage, error) {
	body := api.SendMessage{Directive: "demo:work", Payload: map[string]any{"steps": 2}}
	response, err := app.client.SendMessageWithResponse(ctx, app.clientID, nil, body)
	if err != nil {
		return nil, err
	}
	if response.JSON202 == nil {
		return nil, fmt.Errorf("not accepted: %s %s", response.Status(), response.Body)
	}
	return response.JSON202, nil
}

func (app application) answerTo(ctx context.Context, accepted api.AcceptedMessage) (any, error) {
	response, err := app.client.ReadMessageWithResponse(ctx, accepted.MessageId, nil)
	if err != nil {
		return nil, err
	}
	if response.JSON200 == nil || response.JSON200.Answer == nil {
		return nil, fmt.Errorf("no answer: %s %s", response.Status(), response.Body)
	}
	return response.JSON200.Answer.Payload, nil
}

func decoded(data []byte) (any, error) {
	var event api.Event
	if err := json.Unmarshal(data, &event); err != nil {
		return nil, err
	}
	return event.ValueByDiscriminator()
}

// decodedExamples returns the type of each event that the document shows.
func decodedExamples(document string) (map[string]string, error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return nil, err
	}
	type content struct {
		Examples map[string]struct {
			Value json.RawMessage `json:"value"`
		} `json:"examples"`
	}
	var shown struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]content `json:"content"`
			} `json:"responses"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, example := range shown.Paths["/v1/events"]["get"].Responses["200"].Content["text/event-stream"].Examples {
		value, err := decoded(example.Value)
		if err != nil {
			return nil, err
		}
		kind := reflect.ValueOf(value).FieldByName("Type").String()
		names[kind] = reflect.TypeOf(value).Name()
	}
	return names, nil
}
