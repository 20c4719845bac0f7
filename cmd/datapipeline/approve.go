package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// approve lets a model that waits go into service: the workflow reads the status of its model package.
func approve(ctx context.Context, o options, s *site, out io.Writer) error {
	return decide(ctx, o, s, out, types.ModelApprovalStatusApproved)
}

// refuse keeps a model that waits out of service.
func refuse(ctx context.Context, o options, s *site, out io.Writer) error {
	return decide(ctx, o, s, out, types.ModelApprovalStatusRejected)
}

// maxApprovalDescription is SageMaker's, in characters (UpdateModelPackage).
const maxApprovalDescription = 1024

func decide(ctx context.Context, o options, s *site, out io.Writer, status types.ModelApprovalStatus) error {
	p, err := s.packageOf(ctx, o.words[0])
	if err != nil {
		return err
	}
	if p.ModelApprovalStatus == status {
		// Who decided first stays written down, also where the gate alone did and nobody was asked.
		if _, err := fmt.Fprintf(out, "%s is %s already (%s): nothing waits for it\n", aws.ToString(p.ModelPackageArn), status, orNone(aws.ToString(p.ApprovalDescription))); err != nil {
			return fmt.Errorf("printing the answer: %w", err)
		}
		return nil
	}
	if p.ModelApprovalStatus != types.ModelApprovalStatusPendingManualApproval {
		return &answerError{fmt.Sprintf("the model of run %s is %s already (%s): it doesn't wait any more", o.words[0], p.ModelApprovalStatus, orNone(aws.ToString(p.ApprovalDescription)))}
	}
	words := "by " + o.by
	if o.reason != "" {
		words += ": " + o.reason
	}
	if n := utf8.RuneCountInString(words); n > maxApprovalDescription {
		return fmt.Errorf("the reason is too long: with the name it has %d characters, and SageMaker keeps %d", n, maxApprovalDescription)
	}
	if _, err := s.sagemaker.UpdateModelPackage(ctx, &sagemaker.UpdateModelPackageInput{
		ModelPackageArn: p.ModelPackageArn, ModelApprovalStatus: status, ApprovalDescription: &words,
	}); err != nil {
		return fmt.Errorf("setting the approval of %s: %w", aws.ToString(p.ModelPackageArn), err)
	}
	_, err = fmt.Fprintf(out, "%s is %s; the workflow sees it when it looks next\n", aws.ToString(p.ModelPackageArn), status)
	if err != nil {
		return fmt.Errorf("printing the answer: %w", err)
	}
	return nil
}

// packageOf is the newest model package of a run.
func (s *site) packageOf(ctx context.Context, id string) (*sagemaker.DescribeModelPackageOutput, error) {
	pages := sagemaker.NewListModelPackagesPaginator(s.sagemaker, &sagemaker.ListModelPackagesInput{
		ModelPackageGroupName: &s.name, SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the model packages of %s: %w", s.name, err)
		}
		for _, listed := range page.ModelPackageSummaryList {
			p, err := s.sagemaker.DescribeModelPackage(ctx, &sagemaker.DescribeModelPackageInput{ModelPackageName: listed.ModelPackageArn})
			if err != nil {
				return nil, fmt.Errorf("looking at the model package %s: %w", aws.ToString(listed.ModelPackageArn), err)
			}
			if p.CustomerMetadataProperties["run"] == id {
				return p, nil
			}
		}
	}
	return nil, &answerError{fmt.Sprintf("run %s has no model package in the group %s: its model didn't get past the gate, or the pipeline asks nobody", id, s.name)}
}

func orNone(s string) string {
	if strings.TrimSpace(s) == "" {
		return "no reason was given"
	}
	return s
}
