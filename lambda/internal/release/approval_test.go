package release_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/service"
)

const (
	waits    = types.ModelApprovalStatusPendingManualApproval
	approved = types.ModelApprovalStatusApproved
	rejected = types.ModelApprovalStatusRejected
)

func TestWhatBecomesOfTheQuestion(t *testing.T) {
	const hour = int64(3600)
	for _, c := range []struct {
		name string
		// ours is the package of run 2, and before and after are its group's others.
		before, after func(*fakeSageMaker)
		ours          modelPackage
		since         time.Duration
		reminded      int
		want          service.Approval
		// description is what the registry says afterwards of a package that nobody waits for.
		description string
	}{
		{name: "nobody has decided", ours: modelPackage{status: waits}, since: time.Hour, want: service.Approval{Status: service.Pending}},
		{name: "a person of Studio approved", ours: modelPackage{status: approved, description: "looks good", by: &types.UserContext{UserProfileName: aws.String("ann")}},
			want: service.Approval{Status: service.Approved, By: "ann", Reason: "looks good"}},
		{name: "a person approved by the operator's command", ours: modelPackage{status: approved, description: "by ann: looks good: ship it", by: &types.UserContext{IamIdentity: &types.IamIdentity{Arn: aws.String("arn:aws:sts::1:assumed-role/Ops/session")}}},
			want: service.Approval{Status: service.Approved, By: "ann", Reason: "looks good: ship it"}},
		{name: "a person refused by the operator's command and said no more", ours: modelPackage{status: rejected, description: "by ann"}, want: service.Approval{Status: service.Refused, By: "ann"}},
		{name: "a role approved", ours: modelPackage{status: approved, by: &types.UserContext{IamIdentity: &types.IamIdentity{Arn: aws.String("arn:aws:sts::1:assumed-role/Ops/bob")}}},
			want: service.Approval{Status: service.Approved, By: "bob"}},
		{name: "nobody knows who refused", ours: modelPackage{status: rejected, description: "drift in March"}, want: service.Approval{Status: service.Refused, Reason: "drift in March"}},
		{name: "it was approved after the time was over and before anybody looked", ours: modelPackage{status: approved}, since: 100 * time.Hour,
			want: service.Approval{Status: service.Approved}},
		{name: "it is time to remind", ours: modelPackage{status: waits}, since: 24 * time.Hour, want: service.Approval{Status: service.Pending, Remind: true}},
		{name: "people were reminded already", ours: modelPackage{status: waits}, since: 25 * time.Hour, reminded: 1, want: service.Approval{Status: service.Pending}},
		{name: "it is time to remind again", ours: modelPackage{status: waits}, since: 48 * time.Hour, reminded: 1, want: service.Approval{Status: service.Pending, Remind: true}},
		{name: "the time is over", ours: modelPackage{status: waits}, since: 72 * time.Hour,
			want: service.Approval{Status: service.TimedOut, Reason: "nobody decided within 72h0m0s"}, description: "nobody decided within 72h0m0s"},
		{name: "a later run registered", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(3), waits) },
			want:        service.Approval{Status: service.Superseded, By: string(tick(3)), Reason: "superseded by run " + string(tick(3))},
			description: "superseded by run " + string(tick(3))},
		{name: "a later run registered and was approved", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(3), approved) },
			want:        service.Approval{Status: service.Superseded, By: string(tick(3)), Reason: "superseded by run " + string(tick(3))},
			description: "superseded by run " + string(tick(3))},
		{name: "a later run registered and was refused", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(3), rejected) },
			want: service.Approval{Status: service.Pending}},
		{name: "an earlier run registered after it", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(1), waits) },
			want: service.Approval{Status: service.Pending}},
		{name: "the same run registered again", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(2), waits) },
			want: service.Approval{Status: service.Pending}},
		{name: "a later run registered before it, which can't be: its clock was wrong", ours: modelPackage{status: waits}, before: func(s *fakeSageMaker) { s.register(tick(3), waits) },
			want: service.Approval{Status: service.Pending}},
		{name: "somebody registered a model by hand", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) {
			p := s.register("", waits)
			p.artifact = "s3://elsewhere/model.tar.gz"
		}, want: service.Approval{Status: service.Pending}},
		{name: "a later run's package says so in its metadata alone", ours: modelPackage{status: waits}, after: func(s *fakeSageMaker) { s.register(tick(3), waits).artifact = "" },
			want:        service.Approval{Status: service.Superseded, By: string(tick(3)), Reason: "superseded by run " + string(tick(3))},
			description: "superseded by run " + string(tick(3))},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				if c.before != nil {
					c.before(w.sageMaker)
				}
				p := w.sageMaker.register(tick(2), c.ours.status)
				p.description, p.by = c.ours.description, c.ours.by
				if c.after != nil {
					c.after(w.sageMaker)
				}
				r := w.releaser(w.store.Client())
				request := service.Request{
					Command: service.Approve, Run: tick(2), Package: p.arn, Asked: time.Now().Add(-c.since), Reminded: c.reminded,
					TimeoutSeconds: 72 * hour, RemindSeconds: 24 * hour,
				}
				// Asked again, since the answer may be lost, it is the same: what closed the package is no person's refusal.
				for range 2 {
					if got, err := r.Approval(t.Context(), request); err != nil || got != c.want {
						t.Fatalf("got %+v, %v", got, err)
					}
				}
				if c.description != "" && (p.status != rejected || p.description != c.description) {
					t.Fatalf("the registry says %s: %s", p.status, p.description)
				}
			})
		})
	}
}

func TestAQuestionWithoutALimitWaits(t *testing.T) {
	w := newWorld()
	p := w.sageMaker.register(tick(2), waits)
	got, err := w.releaser(w.store.Client()).Approval(t.Context(), service.Request{Run: tick(2), Package: p.arn, Asked: time.Now().Add(-1000 * time.Hour)})
	if err != nil || got != (service.Approval{Status: service.Pending}) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestWhatTheRegistryDoesNotSayIsNoDecision(t *testing.T) {
	for _, c := range []struct {
		name, fails string
		want        service.Status
	}{
		{"the package is gone", "", service.Refused},
		{"the package can't be read", "DescribeModelPackage", ""},
		{"the group can't be listed", "ListModelPackages", ""},
		{"the package can't be closed", "UpdateModelPackage", service.Superseded},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			ours := w.sageMaker.register(tick(2), waits)
			w.sageMaker.register(tick(3), waits)
			w.sageMaker.fail = func(operation, _ string) error {
				if operation == c.fails {
					return throttled()
				}
				return nil
			}
			arn := ours.arn
			if c.fails == "" {
				arn += "0"
			}
			got, err := w.releaser(w.store.Client()).Approval(t.Context(), service.Request{Run: tick(2), Package: arn, Asked: time.Now()})
			if got.Status != c.want || (err == nil) != (c.want != "") {
				t.Fatalf("got %+v, %v", got, err)
			}
			if err != nil && !errors.As(err, new(interface{ ErrorCode() string })) {
				t.Fatalf("the error hides SageMaker's: %v", err)
			}
		})
	}
}
