package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"sagemaker-datapipeline/lambda/head"
	"sagemaker-datapipeline/lambda/internal/export"
	"sagemaker-datapipeline/lambda/internal/ledger"
	"sagemaker-datapipeline/lambda/internal/objects"
	"sagemaker-datapipeline/lambda/internal/objects/memory"
	"sagemaker-datapipeline/lambda/internal/sqlserver"
	"sagemaker-datapipeline/lambda/manifest"
	"sagemaker-datapipeline/lambda/pipeline"
	"sagemaker-datapipeline/lambda/run"
)

// planted are the mistakes that exporters make, each with the kind of history that shows it.
var planted = []struct {
	name    string
	kind    kind
	doubles doubles
}{
	{
		"@@DBTS as the bound",
		kind{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning},
		doubles{database: lastVersionAsBound},
	},
	{
		"the bound read after the snapshot",
		kind{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, snapshot: true},
		doubles{database: boundAfterSnapshot},
	},
	{
		"the watermark beside the head, written before it",
		kind{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning},
		doubles{api: func(_ *history, c *memory.Client) objects.API { return twoObjects{Client: c, watermarkFirst: true} }},
	},
	{
		"the watermark beside the head, written after it",
		kind{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning},
		doubles{api: func(_ *history, c *memory.Client) objects.API { return twoObjects{Client: c} }},
	},
	{
		"planning again on a retry",
		kind{load: pipeline.Append, cursor: pipeline.RowversionCursor, isolation: versioning, pages: true},
		doubles{api: func(_ *history, c *memory.Client) objects.API { return planningAgain{c} }},
	},
	{
		"a filter by rowversion on a full load",
		kind{load: pipeline.Full, isolation: versioning, pages: true},
		doubles{database: filterByVersion},
	},
	{
		"a child of the distributed map that commits",
		kind{load: pipeline.Full, isolation: versioning, pages: true, children: true},
		doubles{child: commitFromChild},
	},
}

// enough is how many histories a planted mistake may survive.
const enough = 2000

// The histories are worth something if they find what is wrong.
func TestPlantedMistakesAreCaught(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				for n := range uint64(enough) {
					if err := newHistory(chance{rand.New(rand.NewPCG(n, 1))}, p.kind, p.doubles).play(); err != nil {
						t.Logf("caught by history %d: %v", n+1, err)
						return
					}
				}
				t.Fatalf("%d histories didn't catch it", enough)
			})
		})
	}
}

// sessions changes the sessions of a database.
type sessions struct {
	export.Database
	change func(run.ID, *session) export.Session
}

func (d sessions) Connect(ctx context.Context, id run.ID) (export.Session, error) {
	s, err := d.Database.Connect(ctx, id)
	if err != nil {
		return nil, err
	}
	return d.change(id, s.(*session)), nil
}

// lastVersionAsBound takes what is below @@DBTS for committed.
func lastVersionAsBound(_ *history, d database) export.Database {
	return sessions{d, func(_ run.ID, s *session) export.Session { return lastVersion{s} }}
}

type lastVersion struct{ *session }

func (s lastVersion) Rowversions(ctx context.Context) (sqlserver.Rowversions, error) {
	v, err := s.session.Rowversions(ctx)
	v.MinActive = v.Last + 1
	return v, err
}

// boundAfterSnapshot begins the snapshot that is read before it asks for the bound.
func boundAfterSnapshot(_ *history, d database) export.Database {
	early := new(state)
	return sessions{d, func(_ run.ID, s *session) export.Session { return earlySnapshot{s, early} }}
}

type earlySnapshot struct {
	*session
	early *state
}

func (s earlySnapshot) Survey(ctx context.Context) (export.Survey, error) {
	survey, err := s.session.Survey(ctx)
	if *s.early == nil {
		*s.early = s.now()
	}
	return survey, err
}

func (s earlySnapshot) BeginSnapshot(ctx context.Context) error {
	err := s.session.BeginSnapshot(ctx)
	s.snapshot = *s.early
	return err
}

// filterByVersion reads of a full load only what was written before it was planned.
func filterByVersion(h *history, d database) export.Database {
	return sessions{d, func(id run.ID, s *session) export.Session {
		if _, known := h.bounds[id]; !known {
			h.bounds[id] = h.server.minActive()
		}
		return filtered{s, h.bounds[id]}
	}}
}

type filtered struct {
	*session
	below uint64
}

func (s filtered) Read(ctx context.Context, r export.Reading) (export.Rows, error) {
	result, err := s.session.Read(ctx, r)
	if err != nil {
		return nil, err
	}
	all := result.(*rows)
	selects := all.selects
	all.selects = func(r row) bool { return selects(r) && r.version < s.below }
	return all, nil
}

// twoObjects keeps the watermark in an object of its own.
type twoObjects struct {
	*memory.Client
	watermarkFirst bool
}

const watermarkKey = orders + "/watermark.json"

func (a twoObjects) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if aws.ToString(in.Key) != head.Key(orders) {
		return a.Client.PutObject(ctx, in, o...)
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	var h head.Head
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	watermark, err := json.Marshal(h.Watermark)
	if err != nil {
		return nil, err
	}
	beside := func() error {
		_, err := a.Client.PutObject(ctx, &s3.PutObjectInput{Bucket: in.Bucket, Key: aws.String(watermarkKey), Body: bytes.NewReader(watermark)})
		return err
	}
	if a.watermarkFirst {
		if err := beside(); err != nil {
			return nil, err
		}
	}
	in.Body = bytes.NewReader(body)
	out, err := a.Client.PutObject(ctx, in, o...)
	if err != nil || a.watermarkFirst {
		return out, err
	}
	return out, beside()
}

func (a twoObjects) GetObject(ctx context.Context, in *s3.GetObjectInput, o ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	out, err := a.Client.GetObject(ctx, in, o...)
	if err != nil || aws.ToString(in.Key) != head.Key(orders) {
		return out, err
	}
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return nil, err
	}
	var h head.Head
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	h.Watermark = nil
	beside, err := a.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: aws.String(watermarkKey)})
	if err == nil {
		err = json.NewDecoder(beside.Body).Decode(&h.Watermark)
	} else if _, missing := errors.AsType[*types.NoSuchKey](err); missing {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	if body, err = json.MarshalIndent(h, "", "  "); err != nil {
		return nil, err
	}
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), aws.Int64(int64(len(body)))
	return out, nil
}

// planningAgain makes each attempt plan anew, and takes the parts of any plan.
type planningAgain struct{ *memory.Client }

func (a planningAgain) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input, o ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	out, err := a.Client.ListObjectsV2(ctx, in, o...)
	if err == nil && strings.HasSuffix(aws.ToString(in.Prefix), "/plan-") {
		out.Contents = nil
	}
	return out, err
}

func (a planningAgain) PutObject(ctx context.Context, in *s3.PutObjectInput, o ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	isPlan := strings.HasSuffix(aws.ToString(in.Key), "/plan.json")
	if isPlan {
		in.IfNoneMatch = nil
	}
	out, err := a.Client.PutObject(ctx, in, o...)
	if err == nil && isPlan {
		out.ETag = aws.String("any")
	}
	return out, err
}

func (a planningAgain) GetObject(ctx context.Context, in *s3.GetObjectInput, o ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	out, err := a.Client.GetObject(ctx, in, o...)
	if err == nil && strings.HasSuffix(aws.ToString(in.Key), "/plan.json") {
		out.ETag = aws.String("any")
	}
	return out, err
}

// commitFromChild commits what is read when one partition is.
func commitFromChild(e *export.Exporter, ref export.PlanRef) error {
	ctx := context.Background()
	l := ledger.New(e.Bucket, orders)
	f, err := l.PlanAt(ctx, ref.Key, ref.ETag)
	if err != nil {
		return err
	}
	parts, _, err := l.Parts(ctx, f)
	if err != nil {
		return err
	}
	h, err := l.Head(ctx)
	if err != nil {
		return err
	}
	m := manifest.Manifest{
		Version: manifest.Version, Pipeline: orders, Run: f.Run, Attempt: parts[0].Attempt + "-child", SpecSHA256: f.SpecSHA256,
		Plan: manifest.Plan{Key: f.Key, ETag: f.ETag}, Load: string(f.Load), Generation: f.Generation,
	}
	for _, p := range parts {
		m.Files = append(m.Files, slices.Clone(p.Files)...)
		m.Rows += p.Counts.Parquet
	}
	if m.Rows == 0 {
		return nil
	}
	_, _, err = l.Commit(ctx, f, h, m, head.Head{Run: f.Run, Generation: f.Generation, Identity: f.Source.Identity, QuerySHA256: f.QuerySHA256, SchemaSHA256: f.SchemaSHA256})
	return err
}
