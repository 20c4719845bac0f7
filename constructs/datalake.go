package constructs

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// DataLakeProps says how the training data is kept.
type DataLakeProps struct {
	// WriterRoles are name patterns of the IAM roles (with * as in IAM) that may encrypt with the key, such as "ml-dev-*".
	// A key policy can't name roles that don't exist yet, and a role of another stack would make the stacks depend on
	// each other in a circle; a pattern does neither.
	// Default: every role of the account that IAM allows to.
	WriterRoles []string
	// NoncurrentVersionDays is how long a deleted file of data can still be restored. Small objects can for a year: among them are
	// the head of each pipeline and the manifests, which say what was committed.
	// Default: 30 days.
	NoncurrentVersionDays int
	// RemoveData deletes bucket and key when the stack is destroyed.
	// Default: both stay.
	RemoveData bool
	// EmptyBucket lets a function of the CDK (on Node.js) delete all objects first, with RemoveData. CloudFormation can't
	// delete a bucket that holds any.
	// Default: false.
	EmptyBucket bool
}

// DataLake is where runs put their data and their models: one versioned bucket that refuses plain HTTP, encrypted with
// one key of its own.
type DataLake struct {
	Construct constructs.Construct
	Bucket    awss3.Bucket
	Key       awskms.Key
}

// DefaultNoncurrentVersionDays is long enough to notice a wrong deletion at the end of a month.
const DefaultNoncurrentVersionDays = 30

// Every commit overwrites a pipeline's head, and a person who restores one of before needs the manifests that it reaches: the versions
// of both are kept for a year. A lifecycle rule can't choose by the end of a key, so it chooses by size: a manifest of 25,000 files
// is smaller than the limit, and what is small of the data costs little for a year.
const (
	recordVersionDays = 365
	largestRecord     = 8 << 20
)

// incompleteUploadDays bounds what an export that died in a multipart upload leaves behind. A run takes minutes.
const incompleteUploadDays = 2

// NewDataLake makes the bucket and its key.
func NewDataLake(scope constructs.Construct, id string, props *DataLakeProps) *DataLake {
	this := constructs.NewConstruct(scope, &id)
	removal := awscdk.RemovalPolicy_RETAIN
	if props.RemoveData {
		removal = awscdk.RemovalPolicy_DESTROY
	}
	noncurrent := props.NoncurrentVersionDays
	if noncurrent == 0 {
		noncurrent = DefaultNoncurrentVersionDays
	}

	key := awskms.NewKey(this, jsii.String("Key"), &awskms.KeyProps{
		Description:       jsii.String("Training data, models and notices of the pipelines"),
		EnableKeyRotation: jsii.Bool(true),
		Policy:            dataKeyPolicy(this, props.WriterRoles),
		RemovalPolicy:     removal,
	})
	bucket := awss3.NewBucket(this, jsii.String("Bucket"), &awss3.BucketProps{
		Encryption:        awss3.BucketEncryption_KMS,
		EncryptionKey:     key,
		BucketKeyEnabled:  jsii.Bool(true), // one data key for many objects: a fraction of the KMS requests and their cost
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		Versioned:         jsii.Bool(true), // a manifest names the versions of its files
		RemovalPolicy:     removal,
		AutoDeleteObjects: jsii.Bool(props.EmptyBucket),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id:                                  jsii.String("remove-leftovers"),
			AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(incompleteUploadDays)),
			NoncurrentVersionExpiration:         awscdk.Duration_Days(jsii.Number(max(noncurrent, recordVersionDays))),
			ExpiredObjectDeleteMarker:           jsii.Bool(true),
		}, {
			Id:                          jsii.String("remove-deleted-data"),
			ObjectSizeGreaterThan:       jsii.Number(largestRecord),
			NoncurrentVersionExpiration: awscdk.Duration_Days(jsii.Number(noncurrent)),
		}},
	})
	// CloudFormation's schema has a string here, and the CDK writes a number.
	bucket.Node().DefaultChild().(awss3.CfnBucket).AddPropertyOverride(
		jsii.String("LifecycleConfiguration.Rules.1.ObjectSizeGreaterThan"), strconv.Itoa(largestRecord))
	return &DataLake{Construct: this, Bucket: bucket, Key: key}
}

// GrantRead lets a person's role or a notebook read what the pipelines below prefix wrote; "" is everything.
func (d *DataLake) GrantRead(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return d.Bucket.GrantRead(grantee, jsii.String(prefix+"*"))
}

// dataKeyPolicy delegates to IAM in this account, narrowed: reading through S3 is IAM's to decide, so that a notebook's
// role needs no change here; writing is for the roles of the pipelines; SageMaker's volumes get grants, not the key.
func dataKeyPolicy(scope constructs.Construct, writers []string) awsiam.PolicyDocument {
	stack := awscdk.Stack_Of(scope)
	account := stack.Account()
	region := stack.Region()
	inAccount := map[string]any{"kms:CallerAccount": account}
	via := func(services ...string) []string {
		hosts := make([]string, len(services))
		for i, s := range services {
			hosts[i] = fmt.Sprintf("%s.%s.amazonaws.com", s, *region)
		}
		return hosts
	}
	byWriters := func(conditions map[string]any) *map[string]any {
		if len(writers) > 0 {
			conditions["ArnLike"] = map[string]any{"aws:PrincipalArn": rolePatterns(stack, writers)}
		}
		return &conditions
	}
	statement := func(sid string, actions []string, principal awsiam.IPrincipal, conditions *map[string]any) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String(sid),
			Actions:    jsii.Strings(actions...),
			Principals: &[]awsiam.IPrincipal{principal},
			Resources:  jsii.Strings("*"), // in a key policy: this key
			Conditions: conditions,
		})
	}
	return awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &[]awsiam.PolicyStatement{
		// Not kms:Create*: whoever may create grants may give himself the use of the key.
		statement("AdministerByIAM", []string{
			"kms:CreateAlias", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*", "kms:Disable*",
			"kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource", "kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion",
			"kms:RotateKeyOnDemand",
		}, awsiam.NewAccountRootPrincipal(), nil),
		statement("ReadThroughS3ByIAM", []string{"kms:Decrypt"}, awsiam.NewAccountRootPrincipal(), &map[string]any{
			"StringEquals": merge(inAccount, map[string]any{"kms:ViaService": via("s3")}),
		}),
		statement("WriteByThePipelines", []string{"kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*"},
			awsiam.NewAccountRootPrincipal(), byWriters(map[string]any{
				"StringEquals": merge(inAccount, map[string]any{"kms:ViaService": via("s3", "sns", "sagemaker")}),
			})),
		statement("VolumesOfSageMaker", []string{"kms:CreateGrant"}, awsiam.NewAccountRootPrincipal(), byWriters(map[string]any{
			"StringEquals": inAccount,
			"Bool":         map[string]any{"kms:GrantIsForAWSResource": true},
		})),
		statement("NoticesOfAlarms", []string{"kms:Decrypt", "kms:GenerateDataKey*"},
			awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil), &map[string]any{
				"StringEquals": map[string]any{"aws:SourceAccount": account},
			}),
	}})
}

// rolePatterns makes ARN patterns of patterns of role names.
func rolePatterns(stack awscdk.Stack, names []string) []*string {
	arns := make([]*string, len(names))
	for i, name := range names {
		arns[i] = stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("iam"), Region: jsii.String(""), Resource: jsii.String("role"), ResourceName: jsii.String(name),
		})
	}
	return arns
}

func merge(parts ...map[string]any) map[string]any {
	merged := map[string]any{}
	for _, part := range parts {
		maps.Copy(merged, part)
	}
	return merged
}
