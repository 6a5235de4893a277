"""
The tables of the funnel paper, row by row: what `test_second_funnel` expects of `policies/second-funnel`.

Written from the paper and never read from `policies/`. Definitions are there in our words, so a row has words that
its definition must speak of.
"""

# Services of the two variants: name, tier 1, tier 2. None: the variant does not list it.
LATER_STAGE = {
    "Executive Sponsorship": (True, False),
    "Quarterly Business Review": (True, False),
    "Proactive Communications": (True, True),
    "Assigned CSM": (True, True),
    "Assigned Technical Resource": (True, False),
    "Adoption Monitoring": (True, True),
    "NPS/CSAT Survey Monitoring": (True, True),
    "Best Practice Advice": (True, False),
    "Training": (True, True),
    "Health Check": (True, False),
    "Renewal": (True, True),
    "Escalations Management": (True, True),
    "Support Case Monitoring": (True, False),
    "Upsell": (True, True),
    "Program Management": (True, False),
}
EARLY_STAGE = {
    "Executive Sponsorship": (True, False),
    "Quarterly Business Review": (True, False),
    "Proactive Communications": (True, False),
    "Assigned CSM": (True, True),
    "Assigned Technical Resource": (True, False),
    "Adoption Monitoring": (True, True),
    "NPS/CSAT Survey Monitoring": (True, True),
    "Best Practice Advice": (True, False),
    "Training": (True, False),
    "Health Check": (False, False),
    "Renewal": (True, True),
    "Escalations Management": (True, True),
    "Support Case Monitoring": (True, False),
    "Upsell": (True, True),
    "Program Management": (False, False),
}
VARIANTS = {"later-stage": LATER_STAGE, "early-stage": EARLY_STAGE}

# Step 1: the definition of each service, by words that it cannot do without.
DEFINITIONS = {
    "Executive Sponsorship": ("executive", "csm", "unasked", "strategy sessions"),
    "Quarterly Business Review": ("kpis", "return on investment", "open issues", "plan", "new features", "other work"),
    "Proactive Communications": ("health", "usage", "billing", "questions", "support"),
    "Assigned CSM": ("dedicated csm", "directly"),
    "Assigned Technical Resource": ("dedicated support", "success engineer", "technical success manager"),
    "Adoption Monitoring": ("usage", "trends", "adoption", "upsell", "training", "use cases"),
    "NPS/CSAT Survey Monitoring": ("nps", "csat", "tracked", "followed up"),
    "Best Practice Advice": ("unasked", "best"),
    "Training": ("trains", "not as a paid service"),
    "Health Check": (
        "use case",
        "instance",
        "settings",
        "implementation",
        "reporting",
        "performance",
        "best practices",
    ),
    "Renewal": ("contract", "up to date"),
    "Escalations Management": ("first contact", "informed", "remedy"),
    "Support Case Monitoring": ("open cases", "threshold"),
    "Upsell": ("upsell", "closes it", "lead"),
    "Program Management": ("onboarding", "rebuilds", "professional services", "not as a paid service"),
}

SELF_SERVICE = (
    "Self-Service Support Via Community",
    "FAQ",
    "Knowledge Base",
    "Self-guided Training Modules",
    "Video Tutorials",
    "In-product Tool Tips",
    "Automated End User Engagement",
    "Automated Best Practice Advice",
)

# Step 0: tier, who it is for, its share of ARR in percent, what its accounts get.
STEP_0 = (
    ("tier-1", "Large enterprise", (10, 20), "high"),
    ("tier-2", "Mid-market", (30, 50), "partial"),
    ("tier-3", "Small and medium business", None, "low"),
)

# Step 0: other criteria that a base may be divided by, and an account of the first tier by each.
OTHER_CRITERIA = {
    "industry": {"industry": "Banking"},
    "headcount": {"employees": "1,200"},
    "turnover": {"annual-revenue": "$2,000,000,000"},
    "region": {"country": "US"},
    "product": {"entitlements": "SaaS Product"},
}

# Step 5: the example of a flat file.
HEADINGS = ("Account Name", "ARR", "Industry", "City", "State", "Renewal Date", "Entitlements")
EXAMPLE = ("Customer A", "$50,000", "Retail", "New York", "NY", "1/1/2017", "SaaS Product")
EXAMPLE_TIER = "Tier 1"
