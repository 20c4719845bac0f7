package constructs

import (
	"fmt"
	"net/netip"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Network is where the export function, the training jobs and the endpoints run.
type Network struct {
	Construct constructs.Construct
	Vpc       awsec2.IVpc
	Subnets   *awsec2.SubnetSelection
	// ExportSecurityGroup is the export function's: a database lets it in.
	ExportSecurityGroup awsec2.SecurityGroup
	// JobSecurityGroup is that of training jobs and endpoints.
	JobSecurityGroup awsec2.SecurityGroup
}

// NetworkProps describes a new VPC.
type NetworkProps struct {
	// CIDR of the VPC, from /16 to /24.
	CIDR string
	// AvailabilityZones to use, one to three; a provisioned database needs two.
	AvailabilityZones []string
	// NATGateways to pay for. The flow reaches AWS by VPC endpoints.
	// Default: 0.
	NATGateways int
}

// NewNetwork makes a VPC with one private subnet in each zone and the VPC endpoints that the flow needs.
func NewNetwork(scope constructs.Construct, id string, props *NetworkProps) *Network {
	this := constructs.NewConstruct(scope, &id)
	cidr, err := netip.ParsePrefix(props.CIDR)
	if err != nil || cidr.Bits() < 16 || cidr.Bits() > 24 {
		panic(fmt.Errorf("the network's CIDR %q is not an IPv4 range from /16 to /24, such as 10.40.0.0/20", props.CIDR))
	}
	if zones := len(props.AvailabilityZones); zones < 1 || zones > 3 {
		panic(fmt.Errorf("a network spans one to three availability zones, not %d: %q", zones, props.AvailabilityZones))
	}
	private := awsec2.SubnetType_PRIVATE_ISOLATED
	if props.NATGateways > 0 {
		private = awsec2.SubnetType_PRIVATE_WITH_EGRESS
	}
	vpc := awsec2.NewVpc(this, jsii.String("Vpc"), &awsec2.VpcProps{
		IpAddresses:       awsec2.IpAddresses_Cidr(&props.CIDR),
		AvailabilityZones: jsii.Strings(props.AvailabilityZones...),
		NatGateways:       jsii.Number(props.NATGateways),
		SubnetConfiguration: &[]*awsec2.SubnetConfiguration{
			// A quarter of the range for each zone. The public subnets' ranges stay reserved without NAT gateways, so that
			// adding one later replaces no subnet.
			{Name: jsii.String("private"), SubnetType: private, CidrMask: jsii.Number(cidr.Bits() + 2)},
			{Name: jsii.String("public"), SubnetType: awsec2.SubnetType_PUBLIC, CidrMask: jsii.Number(cidr.Bits() + 4), Reserved: jsii.Bool(props.NATGateways == 0)},
		},
	})
	subnets := &awsec2.SubnetSelection{SubnetGroupName: jsii.String("private")}
	network := newNetwork(this, vpc, subnets)
	network.addEndpoints(network.ExportSecurityGroup)
	return network
}

// ImportedNetworkProps describes a VPC that is there. Nothing is looked up.
type ImportedNetworkProps struct {
	VpcID string
	// AvailabilityZones of the subnets, in their order.
	AvailabilityZones []string
	PrivateSubnetIDs  []string
	// PrivateSubnetRouteTableIDs in the order of the subnets.
	// Default: none, which is enough where the endpoints exist.
	PrivateSubnetRouteTableIDs []string
	// EndpointsExist says that the VPC has the endpoints of S3, Secrets Manager, Step Functions and Lambda, or another way to them.
	// Default: they are made.
	EndpointsExist bool
}

// ImportNetwork takes a VPC that is there, and adds security groups and, where they are missing, the VPC endpoints.
func ImportNetwork(scope constructs.Construct, id string, props *ImportedNetworkProps) *Network {
	this := constructs.NewConstruct(scope, &id)
	if !props.EndpointsExist && len(props.PrivateSubnetRouteTableIDs) != len(props.PrivateSubnetIDs) {
		panic(fmt.Errorf("the network %s names %d route tables for %d private subnets: the endpoint of S3 needs one for each, or say that the endpoints exist", props.VpcID, len(props.PrivateSubnetRouteTableIDs), len(props.PrivateSubnetIDs)))
	}
	attributes := &awsec2.VpcAttributes{
		VpcId:             &props.VpcID,
		AvailabilityZones: jsii.Strings(props.AvailabilityZones...),
		PrivateSubnetIds:  jsii.Strings(props.PrivateSubnetIDs...),
	}
	if len(props.PrivateSubnetRouteTableIDs) > 0 {
		attributes.PrivateSubnetRouteTableIds = jsii.Strings(props.PrivateSubnetRouteTableIDs...)
	}
	vpc := awsec2.Vpc_FromVpcAttributes(this, jsii.String("Vpc"), attributes)
	if len(props.PrivateSubnetRouteTableIDs) == 0 {
		awscdk.Annotations_Of(vpc).AcknowledgeWarning(jsii.String("@aws-cdk/aws-ec2:noSubnetRouteTableId"),
			jsii.String("only the endpoint of S3 needs route tables, and it exists"))
	}
	network := newNetwork(this, vpc, &awsec2.SubnetSelection{SubnetType: awsec2.SubnetType_PRIVATE_WITH_EGRESS})
	if !props.EndpointsExist {
		// Their private DNS names are the whole VPC's: from now on everybody else there reaches these services
		// through them too, and would be cut off if only the exports were let in. They have private addresses, and
		// who may call is IAM's to say.
		network.addEndpoints(awsec2.Peer_AnyIpv4())
	}
	return network
}

// newNetwork makes the security groups. Both may reach HTTPS everywhere: S3's gateway endpoint has no security group to
// name, and in subnets without a NAT gateway "everywhere" is the VPC and that endpoint.
func newNetwork(this constructs.Construct, vpc awsec2.IVpc, subnets *awsec2.SubnetSelection) *Network {
	group := func(id, description string) awsec2.SecurityGroup {
		g := awsec2.NewSecurityGroup(this, &id, &awsec2.SecurityGroupProps{
			Vpc: vpc, Description: &description, AllowAllOutbound: jsii.Bool(false),
		})
		g.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(443)), jsii.String("S3 and the VPC endpoints"), nil)
		return g
	}
	n := &Network{
		Construct:           this,
		Vpc:                 vpc,
		Subnets:             subnets,
		ExportSecurityGroup: group("ExportSecurityGroup", "Export functions of the pipelines"),
		JobSecurityGroup:    group("JobSecurityGroup", "Training jobs and endpoints of the pipelines"),
	}
	// The machines of one training job talk to each other on ports that they choose.
	n.JobSecurityGroup.Connections().AllowInternally(awsec2.Port_AllTcp(), jsii.String("machines of one job"))
	return n
}

// addEndpoints makes what the parts in the VPC call: the export reads its secret, writes to S3, starts the workflow and invokes the
// notify function, which tells the rest of the world; training jobs and endpoints read and write S3. The other functions are in no
// VPC. Logs, images and the smoke test don't go through it: Lambda, SageMaker and Step Functions carry them. The interface endpoints
// let clients in.
func (n *Network) addEndpoints(clients awsec2.IPeer) {
	n.Vpc.AddGatewayEndpoint(jsii.String("S3"), &awsec2.GatewayVpcEndpointOptions{
		Service: awsec2.GatewayVpcEndpointAwsService_S3(),
		Subnets: &[]*awsec2.SubnetSelection{n.Subnets},
	})
	group := awsec2.NewSecurityGroup(n.Construct, jsii.String("EndpointSecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc: n.Vpc, Description: jsii.String("VPC endpoints of the pipelines"), AllowAllOutbound: jsii.Bool(false),
	})
	group.AddIngressRule(clients, awsec2.Port_Tcp(jsii.Number(443)), jsii.String("callers of AWS"), nil)
	interfaceEndpoint := func(id string, service awsec2.InterfaceVpcEndpointAwsService) {
		n.Vpc.AddInterfaceEndpoint(&id, &awsec2.InterfaceVpcEndpointOptions{
			Service:        service,
			Subnets:        n.Subnets,
			SecurityGroups: &[]awsec2.ISecurityGroup{group},
			Open:           jsii.Bool(false), // the group's rules are all
		})
	}
	interfaceEndpoint("SecretsManager", awsec2.InterfaceVpcEndpointAwsService_SECRETS_MANAGER())
	interfaceEndpoint("StepFunctions", awsec2.InterfaceVpcEndpointAwsService_STEP_FUNCTIONS())
	interfaceEndpoint("Lambda", awsec2.InterfaceVpcEndpointAwsService_LAMBDA())
}

// ExportPlacement puts export functions here.
func (n *Network) ExportPlacement() *Placement {
	return &Placement{Vpc: n.Vpc, Subnets: n.Subnets, SecurityGroups: []awsec2.ISecurityGroup{n.ExportSecurityGroup}}
}

// JobPlacement puts training jobs and endpoints here.
func (n *Network) JobPlacement() *Placement {
	return &Placement{Vpc: n.Vpc, Subnets: n.Subnets, SecurityGroups: []awsec2.ISecurityGroup{n.JobSecurityGroup}}
}
