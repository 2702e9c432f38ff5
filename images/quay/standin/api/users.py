"""The first user, sign-in, and the requesting account."""

from flask import Blueprint, jsonify, request

from standin import sessions, views
from standin.account import AccountError
from standin.api.requests import Answer, Api, refuse_csrf
from standin.passwords import InvalidPassword, LoginError, TooManyLogins
from standin.token_service import too_many_logins


def add_routes(blueprint: Blueprint, api: Api) -> None:
    """Add their routes."""
    may_initialize = (
        api.settings.values.get("FEATURE_USER_INITIALIZE") is True
        and api.settings.values["AUTHENTICATION_TYPE"] == "Database"
    )

    @blueprint.post("/user/initialize")
    def initialize() -> Answer:
        """Create the first user, while there is none."""
        if not may_initialize:
            return {"message": "Cannot initialize user, feature is not enabled"}, 400
        asked = request.get_json()
        with api.engine.begin() as connection:
            if api.accounts.any(connection):
                return {"message": "Cannot initialize user in a non-empty database"}, 400
            name, password = str(asked.get("username", "")), str(asked.get("password", ""))
            email = asked.get("email")
            try:
                account = api.accounts.create_user(connection, name, password, email)
            except (AccountError, InvalidPassword) as error:
                return {"message": f"Failed to initialize user: {error}"}, 400
            answer = {
                "username": name,
                "email": email,
                "encrypted_password": api.accounts.encrypt_password(password),
            }
            if asked.get("access_token"):
                answer["access_token"] = api.accounts.create_access_token(connection, account)
            return answer, 200

    @blueprint.post("/signin")
    def sign_in() -> Answer:
        """Begin a session."""
        if not sessions.csrf_token_is_valid():
            refuse_csrf()
        asked = api.body()
        name, password = str(asked.get("username", "")), str(asked.get("password", ""))
        try:
            account = api.accounts.verify(api.engine, name, password)
        except TooManyLogins as error:
            return too_many_logins(error)
        except LoginError as error:
            sessions.send_cookie()
            return {
                "needsEmailVerification": False,
                "invalidCredentials": True,
                "message": str(error),
            }, 403
        answer = jsonify(success=True)
        answer.headers[sessions.NEXT_CSRF_HEADER] = sessions.sign_in(account.name)
        return answer

    @blueprint.get("/user/")
    def current_user() -> Answer:
        """Return the requesting account."""
        with api.engine.connect() as connection:
            account = api.account(connection, session_required=False)
            organizations = api.accounts.organizations(connection, account)
        return views.current_user(api.settings, account, organizations), 200

    @blueprint.put("/user/")
    def change_user() -> Answer:
        """Change the account's password, and start a new session."""
        with api.engine.begin() as connection:
            account = api.account(connection)
            try:
                password = str(api.body().get("password", ""))
                api.accounts.change_password(connection, account, password)
            except InvalidPassword as error:
                api.invalid(str(error))
            organizations = api.accounts.organizations(connection, account)
        answer = jsonify(views.current_user(api.settings, account, organizations))
        answer.headers[sessions.NEXT_CSRF_HEADER] = sessions.sign_in(account.name)
        return answer
