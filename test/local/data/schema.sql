-- The shop's tables, as the four pipelines read them. The types are exact, and wide on purpose: every one of them has a way
-- of its own through the wire, through Parquet and into the training channel.
CREATE TABLE dbo.Transactions (
    TransactionId    bigint           NOT NULL PRIMARY KEY,
    CustomerId       int              NOT NULL,
    MerchantId       int              NOT NULL,
    OccurredAt       datetime2(3)     NOT NULL,
    Amount           decimal(12, 2)   NOT NULL,
    Currency         char(3)          NOT NULL,
    Channel          varchar(12)      NOT NULL,
    Country          char(2)          NOT NULL,
    CardPresent      bit              NOT NULL,
    MerchantCategory smallint         NOT NULL,
    CustomerAgeDays  int              NOT NULL,
    DistanceKm       real             NULL,
    AvgAmount30d     money            NOT NULL,
    TxLastHour       tinyint          NOT NULL,
    DeviceId         uniqueidentifier NULL,
    Note             nvarchar(100)    NULL,
    IsFraud          bit              NOT NULL
);

CREATE TABLE dbo.Customers (
    CustomerId        int           NOT NULL PRIMARY KEY,
    Name              nvarchar(80)  NOT NULL,
    Email             nvarchar(120) NOT NULL,
    SignedUpOn        date          NOT NULL,
    Segment           varchar(10)   NOT NULL,
    MonthlyFee        smallmoney    NOT NULL,
    TenureMonths      smallint      NOT NULL,
    SupportTickets90d tinyint       NOT NULL,
    LoginsLast30d     int           NOT NULL,
    LastLoginAt       datetime      NULL,
    NpsScore          tinyint       NULL,
    PaymentFailures   smallint      NOT NULL,
    DiscountPct       float         NOT NULL,
    AutoRenew         bit           NOT NULL,
    Churned           bit           NOT NULL
);

-- A ledger: the tills insert what was sold in a day once it is over, and nobody changes or deletes a row.
CREATE TABLE dbo.Sales (
    SaleDate date          NOT NULL,
    ShopId   int           NOT NULL,
    ItemId   int           NOT NULL,
    Quantity int           NOT NULL,
    Price    decimal(9, 2) NOT NULL,
    Promo    bit           NOT NULL,
    BookedAt datetime2(7)  NOT NULL,
    RowVer   rowversion    NOT NULL,
    PRIMARY KEY (SaleDate, ShopId, ItemId)
);
