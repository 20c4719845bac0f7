package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/signature"
)

// unreadableError is a signature that isn't there, or that this code doesn't understand.
type unreadableError struct{ problem string }

func (e *unreadableError) Error() string { return e.problem }

// signature reads what lies beside a job's model.
func (e *Evaluator) signature(ctx context.Context, job string) (signature.Signature, error) {
	key := manifest.ModelPrefix(e.Spec.Pipeline) + job + "/signature.json"
	stored, err := e.Bucket.Read(ctx, key)
	if errors.Is(err, objects.ErrNotFound) {
		return signature.Signature{}, &unreadableError{fmt.Sprintf("there is no s3://%s/%s", e.Bucket.Name(), key)}
	}
	if err != nil {
		return signature.Signature{}, err
	}
	var s signature.Signature
	if err := json.Unmarshal(stored.Body, &s); err != nil {
		return signature.Signature{}, &unreadableError{fmt.Sprintf("decoding s3://%s/%s: %v", e.Bucket.Name(), key, err)}
	}
	if s.Version < 1 || s.Version > signature.Version {
		return signature.Signature{}, &unreadableError{fmt.Sprintf("s3://%s/%s has version %d, this code reads versions up to %d", e.Bucket.Name(), key, s.Version, signature.Version)}
	}
	return s, nil
}

// difference says how a candidate's signature differs from the champion's in what makes a request or an answer mean something else; empty when
// it doesn't. The types that the columns have in SQL Server, and whether they may be NULL, are no part of a request.
func difference(candidate, champion signature.Signature) string {
	var all []string
	if candidate.Task != champion.Task {
		all = append(all, fmt.Sprintf("the task is %s and was %s", candidate.Task, champion.Task))
	}
	if candidate.Label != champion.Label {
		all = append(all, fmt.Sprintf("the label is %q and was %q", candidate.Label, champion.Label))
	}
	now, before := names(candidate), names(champion)
	added, removed := less(now, before), less(before, now)
	if len(added) > 0 {
		all = append(all, "new features: "+list(added))
	}
	if len(removed) > 0 {
		all = append(all, "features that are gone: "+list(removed))
	}
	if len(added) == 0 && len(removed) == 0 && !slices.Equal(now, before) {
		all = append(all, "the features are in another order")
	}
	if encoded := encodedOtherwise(candidate, champion); len(encoded) > 0 {
		all = append(all, "features that are encoded in another way: "+list(encoded))
	}
	return strings.Join(all, "; ")
}

func names(s signature.Signature) []string {
	all := make([]string, len(s.Features))
	for i, f := range s.Features {
		all[i] = f.Name
	}
	return all
}

func less(these, those []string) []string {
	return slices.DeleteFunc(slices.Clone(these), func(name string) bool { return slices.Contains(those, name) })
}

func encodedOtherwise(candidate, champion signature.Signature) []string {
	before := map[string]*signature.Encoding{}
	for _, f := range champion.Features {
		before[f.Name] = f.Encoding
	}
	var all []string
	for _, f := range candidate.Features {
		if b, there := before[f.Name]; there && !sameEncoding(f.Encoding, b) {
			all = append(all, f.Name)
		}
	}
	return all
}

func sameEncoding(a, b *signature.Encoding) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Unknown == b.Unknown && slices.Equal(a.Categories, b.Categories)
}

// mostNames are written out; a notice has room for no more.
const mostNames = 10

func list(names []string) string {
	if n := len(names); n > mostNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), n-mostNames)
	}
	return strings.Join(names, ", ")
}
