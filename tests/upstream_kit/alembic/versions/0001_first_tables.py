"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "file",
        sa.Column("uid", sa.Uuid(), primary_key=True),
        sa.Column("filename", sa.String(), nullable=False, unique=True),
        sa.Column("size", sa.Integer()),
    )
    op.create_table(
        "task_user",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String()),
    )
    op.create_table(
        "task_user_link",
        sa.Column("task_id", sa.Integer(), sa.ForeignKey("task.id"), primary_key=True),
        sa.Column(
            "user_id", sa.Integer(), sa.ForeignKey("task_user.id"), primary_key=True
        ),
    )
    op.create_table(
        "task_execution",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("start_time", sa.DateTime(), nullable=False),
        sa.Column("end_time", sa.DateTime()),
        sa.Column("task_id", sa.Integer(), sa.ForeignKey("task.id"), nullable=False),
    )


def downgrade():
    for name in ("task_execution", "task_user_link", "task", "task_user", "file"):
        op.drop_table(name)
