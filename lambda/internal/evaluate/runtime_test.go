package evaluate

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/sagemakerruntime"
)

// runtime answers requests in their order by answer, after the problems that come first.
type runtime struct {
	problems []error
	requests []string
	answer   func(body string) string
}

func (r *runtime) InvokeEndpoint(_ context.Context, in *sagemakerruntime.InvokeEndpointInput, _ ...func(*sagemakerruntime.Options)) (*sagemakerruntime.InvokeEndpointOutput, error) {
	if len(r.problems) > 0 {
		problem := r.problems[0]
		r.problems = r.problems[1:]
		return nil, problem
	}
	r.requests = append(r.requests, string(in.Body))
	return &sagemakerruntime.InvokeEndpointOutput{Body: []byte(r.answer(string(in.Body)))}, nil
}
