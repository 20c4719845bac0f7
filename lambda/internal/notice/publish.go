package notice

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// API is what Publish calls of SNS.
type API interface {
	Publish(context.Context, *sns.PublishInput, ...func(*sns.Options)) (*sns.PublishOutput, error)
}

var _ API = (*sns.Client)(nil)

// Publish sends a notice to a topic.
func Publish(ctx context.Context, api API, topic string, n Notice) error {
	attributes := make(map[string]types.MessageAttributeValue, len(n.Attributes))
	for name, value := range n.Attributes {
		attributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	_, err := api.Publish(ctx, &sns.PublishInput{
		TopicArn: aws.String(topic), Subject: aws.String(n.Subject), Message: aws.String(n.Message), MessageAttributes: attributes,
	})
	if err != nil {
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return nil
}
