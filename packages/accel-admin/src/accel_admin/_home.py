"""The first page."""

from flask_admin import AdminIndexView, expose


class HomeView(AdminIndexView):  # type: ignore[misc]  # Flask-Admin is not typed
    """Shows what there is."""

    @expose("/")  # type: ignore[untyped-decorator]  # Flask-Admin is not typed
    def index(self) -> str:
        """Show the models."""
        html: str = self.render("accel_admin/home.html")
        return html
