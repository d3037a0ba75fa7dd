from fastapi import APIRouter

from fastapi_accelerator.exception import HTTPException403

router = APIRouter(prefix="/forbidden")


@router.get("/")
async def get_users():
    if True:
        raise HTTPException403()
    return [{"user_id": "user1"}, {"user_id": "user2"}]
