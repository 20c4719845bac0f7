package release

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"sagemaker-datapipeline/lambda/run"
	"sagemaker-datapipeline/lambda/service"
)

// What a package is refused with that nobody waits for any more, so that nobody decides on it in vain. When Approval is asked again, because its
// answer was lost, it knows its own hand by it.
const (
	supersededBy = "superseded by run "
	notDecided   = "nobody decided within "
)

// decidedBy begins what the operator's commands write: "by ann: looks good".
const decidedBy = "by "

// Approval says whether people let a registered model into service.
func (r *Releaser) Approval(ctx context.Context, request service.Request) (service.Approval, error) {
	p, err := r.SageMaker.DescribeModelPackage(ctx, &sagemaker.DescribeModelPackageInput{ModelPackageName: aws.String(request.Package)})
	if absent(err) {
		return service.Approval{Status: service.Refused, Reason: "somebody deleted the model package " + request.Package}, nil
	}
	if err != nil {
		return service.Approval{}, fmt.Errorf("looking at the model package %s: %w", request.Package, err)
	}
	if decided, ok := decision(p); ok {
		return decided, nil
	}
	later, err := r.laterRegistered(ctx, p, request.Run)
	if err != nil {
		return service.Approval{}, err
	}
	if later != "" {
		ended := service.Approval{Status: service.Superseded, By: string(later), Reason: supersededBy + string(later)}
		r.refuse(ctx, request.Package, ended.Reason)
		return ended, nil
	}
	now := time.Now()
	if timeout := time.Duration(request.TimeoutSeconds) * time.Second; timeout > 0 && !now.Before(request.Asked.Add(timeout)) {
		ended := service.Approval{Status: service.TimedOut, Reason: notDecided + timeout.String()}
		r.refuse(ctx, request.Package, ended.Reason)
		return ended, nil
	}
	remind := time.Duration(request.RemindSeconds) * time.Second
	due := request.Asked.Add(remind * time.Duration(request.Reminded+1))
	return service.Approval{Status: service.Pending, Remind: remind > 0 && !now.Before(due)}, nil
}

// decision gives what was decided on a package; false while it waits.
func decision(p *sagemaker.DescribeModelPackageOutput) (service.Approval, bool) {
	reason := aws.ToString(p.ApprovalDescription)
	by, said := who(p.LastModifiedBy), reason
	if words, operator := strings.CutPrefix(reason, decidedBy); operator {
		by, said, _ = strings.Cut(words, ": ")
	}
	switch p.ModelApprovalStatus {
	case types.ModelApprovalStatusApproved:
		return service.Approval{Status: service.Approved, By: by, Reason: said}, true
	case types.ModelApprovalStatusRejected:
		if later, ours := strings.CutPrefix(reason, supersededBy); ours {
			return service.Approval{Status: service.Superseded, By: later, Reason: reason}, true
		}
		if strings.HasPrefix(reason, notDecided) {
			return service.Approval{Status: service.TimedOut, Reason: reason}, true
		}
		return service.Approval{Status: service.Refused, By: by, Reason: said}, true
	}
	return service.Approval{}, false
}

// who is the person of Studio, or the role's session; empty where SageMaker doesn't say.
func who(c *types.UserContext) string {
	switch {
	case c == nil:
		return ""
	case aws.ToString(c.UserProfileName) != "":
		return *c.UserProfileName
	case c.IamIdentity != nil:
		return path.Base(aws.ToString(c.IamIdentity.Arn))
	}
	return ""
}

// packagesSeen is how many of the newest packages are looked at. A later run's is the newest, or close to it: runs register in their order.
const packagesSeen = 20

// laterRegistered gives the run of a package that was registered after this one and by a later run, or "". A later one that was refused changes nothing:
// this one is the newest that may still be wanted.
func (r *Releaser) laterRegistered(ctx context.Context, p *sagemaker.DescribeModelPackageOutput, id run.ID) (run.ID, error) {
	out, err := r.SageMaker.ListModelPackages(ctx, &sagemaker.ListModelPackagesInput{
		ModelPackageGroupName: p.ModelPackageGroupName, SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending, MaxResults: aws.Int32(packagesSeen),
	})
	if err != nil {
		return "", fmt.Errorf("looking for later model packages of %s: %w", aws.ToString(p.ModelPackageGroupName), err)
	}
	for _, other := range out.ModelPackageSummaryList {
		if aws.ToInt32(other.ModelPackageVersion) <= aws.ToInt32(p.ModelPackageVersion) || other.ModelApprovalStatus == types.ModelApprovalStatusRejected {
			continue
		}
		of, err := r.runOfPackage(ctx, aws.ToString(other.ModelPackageArn))
		if err != nil {
			return "", err
		}
		if of > id {
			return of, nil
		}
	}
	return "", nil
}

// runOfPackage gives the run whose model a package holds, by the job that made the artifact, or by its metadata; "" of a package that isn't this
// pipeline's.
func (r *Releaser) runOfPackage(ctx context.Context, arn string) (run.ID, error) {
	p, err := r.SageMaker.DescribeModelPackage(ctx, &sagemaker.DescribeModelPackageInput{ModelPackageName: aws.String(arn)})
	if absent(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking at the model package %s: %w", arn, err)
	}
	if s := p.InferenceSpecification; s != nil {
		for _, c := range s.Containers {
			for part := range strings.SplitSeq(aws.ToString(c.ModelDataUrl), "/") {
				if id, ours := r.runOf(part); ours {
					return id, nil
				}
			}
		}
	}
	if id, err := run.ParseID(p.CustomerMetadataProperties["run"]); err == nil {
		return id, nil
	}
	return "", nil
}

// refuse closes a package that nobody waits for any more. What became of the run doesn't depend on it.
func (r *Releaser) refuse(ctx context.Context, arn, reason string) {
	if _, err := r.SageMaker.UpdateModelPackage(ctx, &sagemaker.UpdateModelPackageInput{
		ModelPackageArn: aws.String(arn), ModelApprovalStatus: types.ModelApprovalStatusRejected, ApprovalDescription: aws.String(reason),
	}); err != nil {
		r.Log.Warn("closing a model package that nobody waits for", "package", arn, "reason", reason, "error", err.Error())
	}
}
